"""Asks the Verbalizer for the text of a history: the background refresh's side of serving/models/verbalizer.py."""

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from raconteur.types import History
from serving.backends.checks import MAX_VERSION_CHARS
from serving.backends.json_http import JsonServer
from serving.narration import Author, narration_request
from serving.protocol import MAX_TEXT_CHARS

NAME = "verbalizer"
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
    model_name: Literal["verbalizer"]
    parameters: _Author
    outputs: tuple[_Texts]


class KServeVerbalizer:
    """Implements `VerbalizerClient`.

    Args:
        url: address of the server, without a path.
    """

    def __init__(self, url: str) -> None:
        self._server = JsonServer(NAME, url)

    async def write(self, history: History, *, timeout_s: float) -> tuple[str, Author]:
        body, _ = narration_request([history], model=NAME).to_rest()
        answer = await self._server.post(f"/v2/models/{NAME}/infer", body, _Answer, timeout_s=timeout_s)
        return answer.outputs[0].data[0], Author(**answer.parameters.model_dump())

    async def close(self) -> None:
        await self._server.close()
