"""A KServe model server for one ranker: the student or the Reasoner, by the same contract.

KServe brings the protocol, its REST and gRPC transports, health, metadata and metrics; this file adds the model and
the address: KServe itself would listen on all interfaces.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grpc import aio
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING, MAX_GRPC_MESSAGE_LENGTH
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from prometheus_client import REGISTRY

from raconteur.artifacts import Registry
from raconteur.errors import ServingError
from raconteur.types import Reasoner
from serving.follow import Follower, Loaded
from serving.models.served_model import ServedModel
from serving.protocol import INPUTS, OUTPUTS, ranking_response, read_ranking_request
from serving.records.metrics import ModelMetrics
from serving.records.tracing import annotate, start_tracing

MAX_WAITING = 64  # requests that wait for the model or use it; one more is answered 503 at once
GRACE_S = 5


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    request: InferRequest
    texts: list[str]
    candidates: list[list[str]]  # as many for every text


class RankingModel(ServedModel[Reasoner, Question]):
    """Scores candidates after reading a text; always with the champion."""

    def __init__(self, name: str, follower: Follower[Reasoner], metrics: ModelMetrics) -> None:
        super().__init__(name, follower, metrics, max_waiting=MAX_WAITING)

    def get_input_types(self) -> list[dict[str, Any]]:
        return INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        return OUTPUTS

    def read(self, request: InferRequest) -> Question:
        texts, candidates = read_ranking_request(request)
        annotate(num_texts=len(texts), num_candidates=len(candidates[0]))
        return Question(request, texts, candidates)

    def key(self, question: Question) -> int:
        return len(question.candidates[0])

    def answer(self, questions: Sequence[Question], current: Loaded[Reasoner]) -> Sequence[InferResponse]:
        ranker, version = current.parts, current.version
        texts = [text for question in questions for text in question.texts]
        candidates = [row for question in questions for row in question.candidates]
        with self.measured("score", model=ranker, version=version, num_texts=len(texts)):
            scores_BN = ranker.score(texts, candidates)
        ends = np.cumsum([len(question.texts) for question in questions])
        parts = np.split(scores_BN, ends[:-1])
        return [
            ranking_response(question.request, part, version=version)
            for question, part in zip(questions, parts, strict=True)
        ]


class CheckedDataPlane(DataPlane):
    """Answers 400 to a body that cannot be read: KServe's reader takes a good one for granted and fails in any way."""

    def decode(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().decode(*arguments, **named)
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput(f"the body is no inference request: {error!r}") from None


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
        self.dataplane = CheckedDataPlane(model_registry=self.registered_models)

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
    beside: Callable[[ModelMetrics], Sequence[Model]] = lambda _: (),
) -> None:
    """Serves the champion's model until SIGTERM.

    Args:
        kind: `student` or `reasoner`: the model's name, and its folder within a version.
        models: the registry.
        load: loads the model from its folder.
        beside: makes the other models of the same process.

    Raises:
        ArtifactError: no usable champion.
        ConfigError: tracing is asked for in a way that cannot be.
        ServingError: an address cannot be bound.
    """
    start_tracing(kind)
    follower = Follower(Registry(models), lambda version: _tried(load(version / kind)))
    metrics = ModelMetrics(REGISTRY)
    served = [RankingModel(kind, follower, metrics), *beside(metrics)]
    follower.start()
    try:
        BoundServer(host=host, http_port=port, grpc_port=grpc_port).start(served)
    except (OSError, RuntimeError) as error:
        raise ServingError(f"{kind} cannot serve on {host}:{port} and {host}:{grpc_port}: {error}") from error
    finally:
        for model in served:
            model.stop()


def _tried(ranker: Reasoner) -> Reasoner:
    """The ranker after a first call: one that cannot answer is refused, and the slow first call is nobody's request."""
    ranker.score(["a first text"], [["an item that no catalogue has"]])
    return ranker
