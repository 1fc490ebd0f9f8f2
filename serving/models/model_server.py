"""A KServe model server for one ranker: the student or the Reasoner, by the same contract.

KServe brings the protocol, its REST and gRPC transports, health, metadata and metrics; this file adds the model, the
bounds on what is accepted, and the address: KServe itself would listen on all interfaces.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import prometheus_client
from grpc import aio
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING, MAX_GRPC_MESSAGE_LENGTH
from kserve.errors import InvalidInput, ModelNotReady
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer

from raconteur.artifacts import Registry
from raconteur.errors import ServingError
from raconteur.types import Reasoner
from serving.follow import Follower
from serving.protocol import INPUTS, OUTPUTS, ranking_response, read_ranking_request

MAX_WAITING = 64  # requests that wait for the model; one more is answered 503 at once
GRACE_S = 5

SERVED_VERSION = prometheus_client.Gauge(
    "raconteur_model_version_info", "1 for the version that answered last", ["model", "version"]
)


class RankingModel(Model):
    """Scores candidates after reading a text; always with the champion.

    One thread computes, so that health and metrics answer while the model works and versions never mix in a batch.
    """

    def __init__(self, name: str, follower: Follower[Reasoner]) -> None:
        super().__init__(name)
        self._follower = follower
        self._computing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._num_waiting = 0
        self._announced: str | None = None
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        return INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        return OUTPUTS

    async def predict(self, payload: Any, headers: dict[str, str] | None = None) -> InferResponse:
        if not isinstance(payload, InferRequest):
            raise InvalidInput(f"{self.name} speaks the V2 protocol only: POST /v2/models/{self.name}/infer")
        texts, candidates = read_ranking_request(payload)
        if self._num_waiting >= MAX_WAITING:
            raise ModelNotReady(self.name, f"{self._num_waiting} requests are waiting; try again")
        self._num_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._computing, self._score, payload, texts, candidates
            )
        finally:
            self._num_waiting -= 1

    def _score(self, request: InferRequest, texts: list[str], candidates: list[list[str]]) -> InferResponse:
        current = self._follower.current
        self._announce(current.version)
        return ranking_response(request, current.parts.score(texts, candidates), version=current.version)

    def _announce(self, version: str) -> None:
        if version != self._announced:
            SERVED_VERSION.clear()
            SERVED_VERSION.labels(self.name, version).set(1)
            self._announced = version


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


def serve(kind: str, models: Path, load: Callable[[Path], Reasoner], *, host: str, port: int, grpc_port: int) -> None:
    """Serves the champion's model until SIGTERM.

    Args:
        kind: `student` or `reasoner`: the model's name, and its folder within a version.
        models: the registry.
        load: loads the model from its folder.

    Raises:
        ArtifactError: no usable champion.
        ServingError: an address cannot be bound.
    """
    follower = Follower(Registry(models), lambda version: _tried(load(version / kind)))
    follower.start()
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    try:
        BoundServer(host=host, http_port=port, grpc_port=grpc_port).start([RankingModel(kind, follower)])
    except (OSError, RuntimeError) as error:
        raise ServingError(f"{kind} cannot serve on {host}:{port} and {host}:{grpc_port}: {error}") from error
    finally:
        follower.stop()


def _tried(ranker: Reasoner) -> Reasoner:
    """The ranker after a first call: one that cannot answer is refused, and the slow first call is nobody's request."""
    ranker.score(["a first text"], [["an item that no catalogue has"]])
    return ranker
