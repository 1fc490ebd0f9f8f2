"""The Open Inference Protocol (V2) form of a recommendation, so that any V2 client can ask.

Inputs: `user_id` BYTES [1]; parameter `k`. Outputs: `items` BYTES [1, n], `scores` FP32 [1, n]; parameters `route`,
`reason`, `degraded`, `version`, `narrative_version`, `catalogue_version`. JSON or binary tensors, as the client asks.
"""

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from kserve import InferRequest
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InvalidInput
from kserve.protocol.rest.v2_datamodels import (
    InferenceRequest,
    InferenceResponse,
    MetadataTensor,
    ModelMetadataResponse,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from pydantic import ValidationError

from raconteur import __version__
from serving.door.schema import RecommendRequest
from serving.path.service import Service
from serving.path.trace import Served
from serving.protocol import MAX_ID_CHARS, UNKNOWN_SCORE, read_strings, respond

MODEL = "recommender"
DEFAULT_K = 10
HEADER = INFERENCE_CONTENT_LENGTH_HEADER


def inference_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("")
    async def server() -> ServerMetadataResponse:
        return ServerMetadataResponse(name="raconteur", version=__version__, extensions=["binary_tensor_data"])

    @router.get("/health/live")
    async def live() -> ServerLiveResponse:
        return ServerLiveResponse(live=True)

    @router.get("/health/ready")
    async def ready() -> ServerReadyResponse:
        return ServerReadyResponse(ready=True)

    @router.get(f"/models/{MODEL}")
    async def model() -> ModelMetadataResponse:
        return ModelMetadataResponse(
            name=MODEL,
            versions=[service.engine.version],
            platform="ray_serve",
            inputs=[MetadataTensor(name="user_id", datatype="BYTES", shape=[1])],
            outputs=[
                MetadataTensor(name="items", datatype="BYTES", shape=[1, -1]),
                MetadataTensor(name="scores", datatype="FP32", shape=[1, -1]),
            ],
        )

    @router.get(f"/models/{MODEL}/ready")
    async def model_ready() -> ModelReadyResponse:
        return ModelReadyResponse(name=MODEL, ready=True)

    @router.post(f"/models/{MODEL}/infer", response_model=InferenceResponse)
    async def infer(request: Request) -> Response:
        asked = decode(await request.body(), request.headers.get(HEADER))
        served = await service.recommend(recommend_request(asked, max_k=service.config.serve.max_k))
        return encode(asked, served)

    return router


def decode(body: bytes, json_length: str | None) -> InferRequest:
    """A V2 request from a body of JSON, or of JSON followed by binary tensors.

    Raises:
        InvalidInput: answered as 400.
    """
    try:
        if json_length is not None:
            return InferRequest.from_bytes(body, int(json_length), MODEL)
        return InferRequest.from_inference_request(InferenceRequest.model_validate_json(body), MODEL)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"the body is no V2 inference request: {place}: {first['msg']}") from None
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(f"the body is no V2 inference request: {error}") from None


def recommend_request(asked: InferRequest, *, max_k: int) -> RecommendRequest:
    """
    Raises:
        InvalidInput: the user or k is missing, malformed or out of bounds.
    """
    user_ids = read_strings(asked, "user_id", ndim=1, max_chars=MAX_ID_CHARS).tolist()
    if len(user_ids) != 1 or not user_ids[0]:
        raise InvalidInput(f"user_id has {len(user_ids)} elements; send exactly one id that is not empty")
    k = (asked.parameters or {}).get("k", DEFAULT_K)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= max_k:
        raise InvalidInput(f"parameter k is {k!r}; expected a whole number from 1 to {max_k}")
    return RecommendRequest(user_id=user_ids[0], history=None, k=k)


def encode(asked: InferRequest, served: Served) -> Response:
    items = np.array([[candidate.item_id for candidate in served.ranking]], dtype=object)
    scores = np.array([[candidate.score for candidate in served.ranking]], dtype=np.float32)
    asked.id = asked.id or served.request_id
    answer = respond(
        asked,
        {
            "items": (items, "BYTES"),
            "scores": (np.where(np.isnan(scores), np.float32(UNKNOWN_SCORE), scores), "FP32"),
        },
        parameters=_parameters(served),
    )
    body, json_length = answer.to_rest()
    if isinstance(body, bytes):
        return Response(body, media_type="application/octet-stream", headers={HEADER: str(json_length)})
    return Response(orjson.dumps(body), media_type="application/json")


def _parameters(served: Served) -> dict[str, Any]:
    return {
        "route": served.route,
        "reason": served.reason,
        "degraded": served.degraded,
        "version": served.version,
        "narrative_version": served.narrative_version or "",
        "catalogue_version": served.catalogue_version or "",
    }
