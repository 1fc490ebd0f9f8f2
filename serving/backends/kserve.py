"""The recommender's side of a model server: one call, one timeout, one kind of failure."""

import asyncio
from collections.abc import Sequence

import httpx
import orjson
from kserve import InferenceRESTClient
from kserve.errors import InferenceError, InvalidInput
from kserve.inference_client import RESTConfig

from raconteur.errors import ServingError
from raconteur.types import FloatArray
from serving.protocol import MAX_TEXT_CHARS, ranking_request, read_ranking_response


class RemoteRanker:
    """A student or Reasoner behind a KServe model server.

    Args:
        name: the model's name on the server.
        url: address of the server, without a path.
        timeout_s: the whole call may take this long.
    """

    def __init__(self, name: str, url: str, *, timeout_s: float) -> None:
        self.name = name
        self._url = url
        self._timeout_s = timeout_s
        self._client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=timeout_s))

    async def score(self, text: str, candidates: Sequence[str]) -> tuple[FloatArray, str]:
        """Scores of the candidates [N], NaN where the model does not know the item, and the model's version.

        Raises:
            ServingError: the server is down, slow, busy, or answered out of protocol.
        """
        # The newest events stand at the end of a text, so that end is kept.
        request = ranking_request([text[-MAX_TEXT_CHARS:]], [candidates], model=self.name)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.infer(self._url, request, model_name=self.name)
            scores_BN, version = read_ranking_response(response, num_texts=1, num_candidates=len(candidates))
        except TimeoutError:
            raise ServingError(f"{self.name} gave no answer within {self._timeout_s * 1000:g} ms") from None
        except (httpx.HTTPError, InvalidInput, InferenceError, orjson.JSONDecodeError, KeyError, ValueError) as error:
            raise ServingError(f"{self.name} failed: {type(error).__name__}: {str(error)[:200]}") from error
        return scores_BN[0], version

    async def close(self) -> None:
        await self._client.close()
