"""A ranker behind a KServe model server: the Open Inference Protocol (V2) over REST, texts and ids in, scores out.

JSON both ways: for a text and twenty ids, binary tensors cost as much in the client and more in the server.
"""

from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from raconteur.errors import ServingError
from raconteur.types import FloatArray
from serving.backends.checks import MAX_VERSION_CHARS, checked_scores, readable
from serving.backends.json_http import JsonServer
from serving.protocol import UNKNOWN_SCORE, ranking_request


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Scores(_Record):
    name: Literal["scores"]
    datatype: Literal["FP32"]
    shape: tuple[int, int]
    data: list[FiniteFloat]


class _Parameters(_Record):
    version: Annotated[str, Field(min_length=1, max_length=MAX_VERSION_CHARS)]


class _Answer(_Record):
    model_name: str
    parameters: _Parameters
    outputs: tuple[_Scores]


class KServeRanker:
    """Implements `contract.Ranker`.

    Args:
        name: `student` or `reasoner`.
        url: address of the server, without a path.
        model: the model's name on the server.
    """

    def __init__(self, name: str, url: str, *, model: str) -> None:
        self.name = name
        self._model = model
        self._server = JsonServer(name, url)

    async def score(self, text: str, candidates: Sequence[str], *, timeout_s: float) -> tuple[FloatArray, str]:
        text, ids = readable(text, candidates)
        body, _ = ranking_request([text], [ids], model=self._model).to_rest()
        path = f"/v2/models/{quote(self._model, safe='')}/infer"
        answer = await self._server.post(path, body, _Answer, timeout_s=timeout_s)
        scores = answer.outputs[0]
        if answer.model_name != self._model or scores.shape != (1, len(ids)):
            raise ServingError(
                f"{self.name} answered for model {answer.model_name[:50]!r} scores of shape {scores.shape}; "
                f"expected {self._model!r} and {(1, len(ids))}"
            )
        unknown_N = np.array(scores.data) == UNKNOWN_SCORE
        if len(unknown_N) != len(ids):
            raise ServingError(f"{self.name} answered {len(unknown_N)} scores; expected {len(ids)}")
        return checked_scores(scores.data, unknown_N, name=self.name), answer.parameters.version

    async def close(self) -> None:
        await self._server.close()
