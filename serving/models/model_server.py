"""A KServe model server for one ranker: the student or the Reasoner, by the same contract.

KServe brings the protocol, its REST and gRPC transports, health, metadata and metrics; this file adds the model, the
bounds on what is accepted, and the address: KServe itself would listen on all interfaces.
"""

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from grpc import aio
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING, MAX_GRPC_MESSAGE_LENGTH
from kserve.errors import InvalidInput, ModelNotReady
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from prometheus_client import REGISTRY

from raconteur.artifacts import Registry
from raconteur.errors import ServingError
from raconteur.types import Reasoner
from serving.follow import Follower
from serving.protocol import INPUTS, OUTPUTS, ranking_response, read_ranking_request
from serving.records.json_log import REQUEST_ID, request_id_var
from serving.records.metrics import ModelMetrics, ModelOutcome
from serving.records.tracing import annotate, server_span, span, start_tracing

MAX_WAITING = 64  # requests that wait for the model; one more is answered 503 at once
GRACE_S = 5


class RankingModel(Model):
    """Scores candidates after reading a text; always with the champion.

    One thread computes, so that health and metrics answer while the model works and versions never mix in a batch.
    """

    def __init__(self, name: str, follower: Follower[Reasoner], metrics: ModelMetrics) -> None:
        super().__init__(name)
        self._follower = follower
        self._metrics = metrics
        self._computing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._num_waiting = 0
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        return INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        return OUTPUTS

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> InferResponse:
        """
        Args:
            headers: of the REST request, or the metadata of the gRPC call.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidInput(f"{self.name} speaks the V2 protocol only: POST /v2/models/{self.name}/infer")
        headers = headers or {}
        request_id_var.set(payload.id or headers.get(REQUEST_ID))
        with server_span(headers, f"{self.name}.predict"):
            outcome: ModelOutcome = "failed"
            try:
                response = await self._predict(payload)
                outcome = "answered"
                return response
            except (InvalidInput, ModelNotReady):
                outcome = "refused"
                raise
            finally:
                self._metrics.count_request(outcome)

    async def _predict(self, request: InferRequest) -> InferResponse:
        texts, candidates = read_ranking_request(request)
        annotate(num_texts=len(texts), num_candidates=len(candidates[0]), num_waiting=self._num_waiting)
        if self._num_waiting >= MAX_WAITING:
            raise ModelNotReady(self.name, f"{self._num_waiting} requests are waiting; try again")
        self._count_waiting(1)
        try:
            in_context = contextvars.copy_context().run  # request id and span go along into the thread
            return await asyncio.get_running_loop().run_in_executor(
                self._computing, in_context, self._score, request, texts, candidates
            )
        finally:
            self._count_waiting(-1)

    def _score(self, request: InferRequest, texts: list[str], candidates: list[list[str]]) -> InferResponse:
        current = self._follower.current
        ranker = current.parts
        with span("score", num_texts=len(texts), version=current.version):
            # Tokens where the ranker counts them; processor time of the process, whose other threads do little else.
            num_read, started_s, processor_s = _num_read(ranker), time.perf_counter(), time.process_time()
            scores_BN = ranker.score(texts, candidates)
            self._metrics.count_call(
                current.version,
                num_texts=len(texts),
                num_tokens=_num_read(ranker) - num_read,
                spent_s=time.perf_counter() - started_s,
                processor_ms=(time.process_time() - processor_s) * 1000,
            )
        return ranking_response(request, scores_BN, version=current.version)

    def _count_waiting(self, change: int) -> None:
        self._num_waiting += change
        self._metrics.set_waiting(self._num_waiting)


class BoundServer(ModelServer):
    """A ModelServer on one address instead of all interfaces."""

    def __init__(self, *, host: str, http_port: int, grpc_port: int) -> None:
        super().__init__(
            http_port=http_port,
            grpc_port=grpc_port,
            workers=1,
            enable_latency_logging=False,
            grace_period=GRACE_S,
        )
        self._host = host

    def start(self, models: list[Model]) -> None:
        """As in ModelServer, whose REST and gRPC servers take no host (kserve 0.21)."""
        self._register_and_check_atleast_one_model_is_ready(models)
        shared = (self.dataplane, self.model_repository_extension)
        self._rest_server = RESTServer(FASTAPI_APP_IMPORT_STRING, *shared, self.http_port, grace_period=GRACE_S)
        self._rest_server.config.host = self._host
        self._grpc_server = BoundGrpcServer(self._host, self.grpc_port, *shared)
        self.servers += [self._rest_server.start(), self._grpc_server.start(self.max_threads)]
        self.setup_event_loop()
        self.register_signal_handler()
        asyncio.run(self._serve())


class BoundGrpcServer(GRPCServer):
    def __init__(self, host: str, port: int, data_plane: Any, repository: Any) -> None:
        super().__init__(port, data_plane, repository, kwargs={}, grace_period=GRACE_S)
        self._host = host

    async def start(self, max_workers: int) -> None:
        self._server = aio.server(
            ThreadPoolExecutor(max_workers=max_workers),
            interceptors=(ExceptionToStatusInterceptor(),),
            options=[("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_LENGTH), ("grpc.so_reuseport", 0)],
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"{self._host}:{self._port}")
        await self._server.start()
        await self._server.wait_for_termination()


def serve(
    kind: str,
    models: Path,
    load: Callable[[Path], Reasoner],
    *,
    host: str,
    port: int,
    grpc_port: int,
    beside: Sequence[Model] = (),
) -> None:
    """Serves the champion's model until SIGTERM.

    Args:
        kind: `student` or `reasoner`: the model's name, and its folder within a version.
        models: the registry.
        load: loads the model from its folder.
        beside: other models of the same process.

    Raises:
        ArtifactError: no usable champion.
        ConfigError: tracing is asked for in a way that cannot be.
        ServingError: an address cannot be bound.
    """
    start_tracing(kind)
    follower = Follower(Registry(models), lambda version: _tried(load(version / kind)))
    follower.start()
    try:
        model = RankingModel(kind, follower, ModelMetrics(kind, REGISTRY))
        BoundServer(host=host, http_port=port, grpc_port=grpc_port).start([model, *beside])
    except (OSError, RuntimeError) as error:
        raise ServingError(f"{kind} cannot serve on {host}:{port} and {host}:{grpc_port}: {error}") from error
    finally:
        follower.stop()


def _tried(ranker: Reasoner) -> Reasoner:
    """The ranker after a first call: one that cannot answer is refused, and the slow first call is nobody's request."""
    ranker.score(["a first text"], [["an item that no catalogue has"]])
    return ranker


def _num_read(ranker: Reasoner) -> int:
    """Tokens that a ranker has read since it was loaded; 0 where it does not count them."""
    return getattr(ranker, "num_tokens_read", 0)
