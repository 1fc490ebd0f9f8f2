"""The Open Inference Protocol (V2) over gRPC: the same calls as `inference`, on a port of their own.

A server in the recommender's process, beside HAProxy. Ray Serve's own gRPC ingress does the same through one hop more:
measured here, 1.7 ms a call against 0.8, 90 MiB more in its proxy and driver, and three ports on all interfaces that no
setting keeps on one address. In a cluster a Service sends clients to this port of the replicas' pods.

A call's deadline is its latency budget. Methods of V2 that manage a model repository are not implemented: versions
follow the registry.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from fastapi import HTTPException
from grpc import HandlerCallDetails, RpcMethodHandler, StatusCode, aio, unary_unary_rpc_method_handler
from kserve import InferRequest
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.servicer import InferenceServicer

from raconteur import __version__
from raconteur.errors import ServingError
from serving.door.access import Decision
from serving.door.dataplane import INPUTS, MODEL, OUTPUTS, PLATFORM, checked, infer
from serving.door.limits import MAX_BODY_BYTES
from serving.door.readiness import Readiness
from serving.path.service import RepeatedError, Service
from serving.records.metrics import Metrics
from serving.records.tracing import annotate, server_span

# Who may call: "POST", the full method name and the metadata, as `Access.decide` takes them.
Decide = Callable[[str, str, Mapping[str, str]], Decision]

INFER = "/inference.GRPCInferenceService/ModelInfer"  # in metrics and traces, beside the paths of HTTP
GRACE_S = 5.0  # calls in work may take this long when the server stops
MAX_DEADLINE_MS = 60_000.0  # a later deadline is none
DEADLINE_SHARE = 0.8  # of the time until the deadline; the answer has to travel too
STATUS = {  # of HTTP to that of gRPC
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ALREADY_EXISTS,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    500: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
}

logger = logging.getLogger(__name__)


@asynccontextmanager
async def grpc_server(service: Service, readiness: Readiness, *, address: str, decide: Decide) -> AsyncIterator[int]:
    """Serves while it is entered, in the running event loop; gives the port.

    Args:
        address: `host:port` to listen on; port 0 takes a free one.

    Raises:
        ServingError: the address cannot be bound.
    """
    server = aio.server(
        interceptors=(AskForKey(decide, service.metrics),),
        # Two replicas of one pod share the port, and the next one binds it before the last has let go.
        options=[("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 1)],
    )
    add_GRPCInferenceServiceServicer_to_server(Recommender(service, readiness), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(f"gRPC cannot listen on {address} (serve.grpc_port): {error}") from None
    await server.start()
    try:
        yield port
    finally:
        await server.stop(GRACE_S)


class Recommender(GRPCInferenceServiceServicer):
    def __init__(self, service: Service, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness

    async def ServerLive(self, request: pb.ServerLiveRequest, context: aio.ServicerContext) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: aio.ServicerContext) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._readiness.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: aio.ServicerContext) -> pb.ModelReadyResponse:
        await _refuse_other_models(request.name, context)
        return pb.ModelReadyResponse(ready=self._readiness.ready)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: aio.ServicerContext
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="raconteur", version=__version__, extensions=[])

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: aio.ServicerContext
    ) -> pb.ModelMetadataResponse:
        await _refuse_other_models(request.name, context)
        return pb.ModelMetadataResponse(
            name=MODEL,
            versions=[self._service.engine.version],
            platform=PLATFORM,
            inputs=[pb.ModelMetadataResponse.TensorMetadata(**one) for one in INPUTS],
            outputs=[pb.ModelMetadataResponse.TensorMetadata(**one) for one in OUTPUTS],
        )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: aio.ServicerContext) -> pb.ModelInferResponse:
        await _refuse_other_models(request.model_name, context)
        status = 499  # unless something else comes of it: the client went
        with server_span(_headers(context.invocation_metadata()), "recommend"):
            try:
                self._refuse_when_full()
                with self._readiness.request():
                    answer = await infer(self._service, decode(request), left_ms=_left_ms(context))
                status = 200
                return answer.to_grpc()
            except Exception as error:
                status, said = _said(error)
                return await context.abort(STATUS[status], said)  # raises
            finally:
                annotate(path=INFER, status=status)
                self._service.metrics.count_request(INFER, status)

    def _refuse_when_full(self) -> None:
        """Counts what HTTP has in work as well: both come out of the same processor."""
        metrics, num = self._service.metrics, self._readiness.num_in_work
        if not self._readiness.ready:
            metrics.count_shed("draining")
        elif num >= self._service.config.serve.max_waiting:
            metrics.count_shed("queue")
            raise HTTPException(429, f"{num} requests are in work, which is the limit; try again in a moment")


class AskForKey(aio.ServerInterceptor):
    """Lets through the calls that `decide` lets through."""

    def __init__(self, decide: Decide, metrics: Metrics) -> None:
        self._decide = decide
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[RpcMethodHandler]],
        handler_call_details: HandlerCallDetails,
    ) -> RpcMethodHandler:
        headers = _headers(handler_call_details.invocation_metadata)
        decision = self._decide("POST", handler_call_details.method, headers)
        if decision.passes:
            return await continuation(handler_call_details)
        self._metrics.count_request(INFER, decision.status)
        if decision.status == 429:
            self._metrics.count_shed("rate")
        return _refusing(decision)


def decode(request: pb.ModelInferRequest) -> InferRequest:
    """
    Raises:
        InvalidInput: answered as INVALID_ARGUMENT.
    """
    for name, value in request.parameters.items():
        if value.WhichOneof("parameter_choice") is None:  # sent in a form of Triton's that V2 does not have
            raise InvalidInput(f"parameter {name} has a type that V2 does not know; send a whole number, bool or text")
    try:
        InferenceServicer.validate_grpc_request(request)
        asked = InferRequest.from_grpc(request)
        asked.parameters = {
            name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in request.parameters.items()
        }
        for one in asked.inputs:
            one.set_data_from_numpy(one.as_numpy(), binary_data=False)
        return checked(asked)
    except InvalidInput:
        raise
    except Exception as error:  # kserve's reader takes a good request for granted and fails in any way on others
        raise InvalidInput(f"this is no V2 inference request: {error!r}") from None


def _said(error: Exception) -> tuple[int, str]:
    """What a client is told of a failure, and its status in the numbers of HTTP."""
    match error:
        case InvalidInput():
            return 400, str(error)
        case RepeatedError():
            return 409, str(error)
        case ServingError():
            return 503, str(error)
        case HTTPException():
            return error.status_code, str(error.detail)
    logger.exception("a gRPC call failed", exc_info=error)
    return 500, "the request failed for a reason that the service's log holds"


def _headers(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    return {name: value for name, value in metadata if isinstance(value, str)}


def _left_ms(context: aio.ServicerContext) -> float | None:
    """For the answer to be made; None if the client waits as long as it takes."""
    left_s = context.time_remaining()
    if left_s is None or left_s * 1000 > MAX_DEADLINE_MS:
        return None
    return max(left_s * 1000 * DEADLINE_SHARE, 1.0)


async def _refuse_other_models(name: str, context: aio.ServicerContext) -> None:
    if name != MODEL:
        await context.abort(StatusCode.NOT_FOUND, f"there is no model {name[:100]!r} here; ask for {MODEL!r}")


def _refusing(decision: Decision) -> RpcMethodHandler:
    async def refuse(_: object, context: aio.ServicerContext) -> None:
        await context.abort(STATUS[decision.status], decision.error, trailing_metadata=tuple(decision.headers.items()))

    return unary_unary_rpc_method_handler(refuse)
