"""The Open Inference Protocol (V2) over HTTP: health, metadata, infer. JSON or binary tensors, as the client asks.

What is asked and answered stands in `dataplane`; `inference_grpc` is the other transport.
"""

import orjson
from fastapi import APIRouter, Request, Response
from kserve import InferRequest, InferResponse
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
from serving.door.dataplane import INPUTS, MODEL, OUTPUTS, PLATFORM, checked, infer
from serving.door.readiness import Readiness
from serving.path.service import Service

HEADER = INFERENCE_CONTENT_LENGTH_HEADER


def inference_router(service: Service, readiness: Readiness) -> APIRouter:
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("")
    async def server() -> ServerMetadataResponse:
        return ServerMetadataResponse(name="raconteur", version=__version__, extensions=["binary_tensor_data"])

    @router.get("/health/live")
    async def live() -> ServerLiveResponse:
        return ServerLiveResponse(live=True)

    @router.get("/health/ready", responses={503: {"model": ServerReadyResponse}})
    async def ready(response: Response) -> ServerReadyResponse:
        response.status_code = 200 if readiness.ready else 503
        return ServerReadyResponse(ready=readiness.ready)

    @router.get(f"/models/{MODEL}")
    async def model() -> ModelMetadataResponse:
        return ModelMetadataResponse(
            name=MODEL,
            versions=[service.engine.version],
            platform=PLATFORM,
            inputs=[MetadataTensor(**one) for one in INPUTS],
            outputs=[MetadataTensor(**one) for one in OUTPUTS],
        )

    @router.get(f"/models/{MODEL}/ready", responses={503: {"model": ModelReadyResponse}})
    async def model_ready(response: Response) -> ModelReadyResponse:
        response.status_code = 200 if readiness.ready else 503
        return ModelReadyResponse(name=MODEL, ready=readiness.ready)

    @router.post(f"/models/{MODEL}/infer", response_model=InferenceResponse)
    async def infer_model(request: Request) -> Response:
        asked = decode(await request.body(), request.headers.get(HEADER))
        return encode(await infer(service, asked))

    return router


def decode(body: bytes, json_length: str | None) -> InferRequest:
    """A V2 request from a body of JSON, or of JSON followed by binary tensors.

    Raises:
        InvalidInput: answered as 400.
    """
    try:
        if json_length is not None:
            return checked(InferRequest.from_bytes(body, int(json_length), MODEL))
        return checked(InferRequest.from_inference_request(InferenceRequest.model_validate_json(body), MODEL))
    except InvalidInput:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"the body is no V2 inference request: {place}: {first['msg']}") from None
    except Exception as error:  # kserve's reader takes a good body for granted and fails in any way on others
        raise InvalidInput(f"the body is no V2 inference request: {error!r}") from None


def encode(answer: InferResponse) -> Response:
    body, json_length = answer.to_rest()
    if isinstance(body, bytes):
        return Response(body, media_type="application/octet-stream", headers={HEADER: str(json_length)})
    return Response(orjson.dumps(body), media_type="application/json")
