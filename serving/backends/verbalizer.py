"""Asks for the text of a history, for the background refresh: the contract, and the client of our own model server
(serving/models/verbalizer.py). One contract suite holds all clients: tests/serving/test_verbalizers.py.
"""

from typing import Annotated, Literal, Protocol
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from raconteur.errors import ServingError
from raconteur.types import History
from serving.backends.checks import MAX_VERSION_CHARS
from serving.backends.json_http import JsonServer
from serving.narration import VERBALIZER, Author, narration_request
from serving.protocol import MAX_TEXT_CHARS

Version = Annotated[str, Field(min_length=1, max_length=MAX_VERSION_CHARS)]


class VerbalizerClient(Protocol):
    async def write(self, history: History, *, timeout_s: float) -> tuple[str, Author]:
        """The text, and what wrote it.

        Raises:
            ServingError: it is down, slow or busy, or what it answered is no text.
        """
        ...

    async def close(self) -> None: ...


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Texts(_Record):
    name: Literal["text"]
    datatype: Literal["BYTES"]
    shape: tuple[Literal[1]]
    data: tuple[Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]]


class _Author(_Record):
    version: Version
    verbalizer_version: Version
    catalogue_version: Version


class _Answer(_Record):
    model_name: str
    parameters: _Author
    outputs: tuple[_Texts]


class KServeVerbalizer:
    """Implements `VerbalizerClient`.

    Args:
        url: address of the server, without a path.
        model: the model's name on the server.
    """

    def __init__(self, url: str, *, model: str) -> None:
        self._model = model
        self._server = JsonServer(VERBALIZER, url)

    async def write(self, history: History, *, timeout_s: float) -> tuple[str, Author]:
        body, _ = narration_request([history], model=self._model).to_rest()
        path = f"/v2/models/{quote(self._model, safe='')}/infer"
        answer = await self._server.post(path, body, _Answer, timeout_s=timeout_s)
        if answer.model_name != self._model:
            raise ServingError(f"{VERBALIZER} answered for model {answer.model_name[:50]!r}; expected {self._model!r}")
        return answer.outputs[0].data[0], Author(**answer.parameters.model_dump())

    async def close(self) -> None:
        await self._server.close()
