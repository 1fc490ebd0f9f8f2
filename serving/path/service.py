"""A recommender that is open: the engine, the two logs and the metrics, from one config.

`open_service` is where the parts are chosen; everything else takes them as arguments.
"""

import asyncio
import uuid
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from raconteur.config.schema import Config
from raconteur.errors import ConfigError, ServingError
from raconteur.pseudonym import pseudonym, pseudonym_key
from raconteur.types import Event
from serving.backends.build import ranker_of, verbalizer_of
from serving.path.beside import Retrieval, Source
from serving.path.cache import Cache
from serving.path.engine import Engine
from serving.path.features import OnlineFeatures
from serving.path.refresh import Refresh
from serving.path.routing import REASONER, STUDENT
from serving.path.trace import Served
from serving.protocol import MAX_CANDIDATES
from serving.records.json_log import request_id_var
from serving.records.metrics import Metrics
from serving.records.parquet_log import ParquetLog
from serving.records.prediction_log import EVENTS, PREDICTIONS, event_row, open_log, prediction_row
from serving.records.tracing import annotate, start_tracing, stop_tracing
from serving.records.traffic import TrafficWindow
from serving.schema import EventsAnswer, EventsRequest, RecommendRequest

MAX_REPEATS = 20_000  # requests with an id of their own that are remembered
REPEATS_S = 600.0


class RepeatedError(ServingError):
    """A request id that stood for another request a moment ago."""


@dataclass(frozen=True, slots=True)
class Service:
    config: Config
    engine: Engine
    predictions: ParquetLog
    events: ParquetLog
    pseudonym_key: bytes
    metrics: Metrics = field(default_factory=Metrics)
    traffic: TrafficWindow = field(default_factory=TrafficWindow)
    repeats: Cache[tuple[Hashable, object]] = field(
        default_factory=lambda: Cache(max_entries=MAX_REPEATS, ttl_s=REPEATS_S)
    )

    async def recommend(self, request: RecommendRequest, *, caller: str = "") -> Served:
        """
        Args:
            caller: whose request ids these are.

        Raises:
            RepeatedError: the request's id came a moment ago with another body.
        """
        if request.request_id is None:
            return await self._recommend(request, uuid.uuid4().hex)
        request_id = request.request_id
        return await self._once(caller, request, lambda: self._recommend(request, request_id))

    async def learn(self, request: EventsRequest, *, caller: str = "") -> EventsAnswer:
        """
        Raises:
            ServingError: the log is full; nothing was taken.
            RepeatedError: as in `recommend`.
        """
        if request.request_id is None:
            return await self._learn(request)
        return await self._once(caller, request, lambda: self._learn(request))

    def start(self) -> None:
        """Begins the work in the background, in the running event loop."""
        self.engine.start()

    async def close(self) -> None:
        await self.engine.close()
        for log in (self.predictions, self.events):
            log.close()
        await asyncio.to_thread(stop_tracing)  # Ray ends a replica without its last words

    async def _recommend(self, request: RecommendRequest, request_id: str) -> Served:
        request_id_var.set(request_id)
        served = await self.engine.recommend(request, request_id=request_id)
        annotate(route=served.route, degraded=served.degraded, cached=served.cached, version=served.version)
        # Monitoring joins by the pseudonym; the log holds nobody's own id.
        user = None if served.user_id is None else pseudonym(served.user_id, self.pseudonym_key)
        self.predictions.append([prediction_row(served, user=user, context=request.context)])
        self.metrics.count_served(served)
        self.traffic.count(served.route, degraded=served.degraded, latency_ms=served.latency_ms)
        return served

    async def _learn(self, request: EventsRequest) -> EventsAnswer:
        now, default_type = datetime.now(UTC), self.config.data.targets[0]
        events: list[Event] = [event.to_event(default_type=default_type, now=now) for event in request.events]
        if not self.events.append([event_row(request.user_id, event) for event in events]):
            raise ServingError("the event log is full; none of the events was taken, send them again later")
        return await self.engine.learn(request, events)

    async def _once(self, caller: str, request: RecommendRequest | EventsRequest, answer: Callable[[], Any]) -> Any:
        """The answer to a request, and the same one to its repetitions; a failure is not remembered."""
        body = request.model_dump_json()

        async def make() -> tuple[Hashable, object]:
            return body, await answer()

        key = (caller, type(request).__name__, request.request_id)
        (first_body, answered), _ = await self.repeats.get(key, make)
        if first_body != body:
            raise RepeatedError(f"request_id {request.request_id} came with another body a moment ago; send a new id")
        return answered


def open_service(config: Config) -> Service:
    """
    Raises:
        ConfigError: more candidates than a model server takes.
        ArtifactError: no usable champion.
        ServingError: no feature store.
    """
    start_tracing("recommender")
    serve, workdir, metrics = config.serve, config.workdir, Metrics()
    if config.retrieve.num_ranked > MAX_CANDIDATES:
        raise ConfigError(f"retrieve.num_ranked may be {MAX_CANDIDATES} at most: one call ranks them all")
    own_reasoner = serve.reasoner.kind != "openai"
    source = Source(workdir / "models", workdir / "features", config.route, own_reasoner)
    stock = source.open()
    stock.start()
    features = OnlineFeatures(workdir / "features")
    count_texts = partial(metrics.count_cache, "encodings")
    writer = verbalizer_of(serve, workdir / "models")
    refresh = Refresh(features, writer, after=serve.refresh_after, count=metrics.count_refresh)
    return Service(
        config=config,
        engine=Engine(
            config,
            features=features,
            stock=stock,
            student=ranker_of(STUDENT, serve.student, config, count=count_texts),
            reasoner=ranker_of(REASONER, serve.reasoner, config, count=count_texts),
            metrics=metrics,
            refresh=refresh,
            retrieval=Retrieval(source if serve.retrieval_process else None),
        ),
        pseudonym_key=pseudonym_key(workdir),
        predictions=open_log(
            workdir / "predictions", PREDICTIONS, serve, count=partial(metrics.count_rows, "predictions")
        ),
        events=open_log(workdir / "events", EVENTS, serve, count=partial(metrics.count_rows, "events")),
        metrics=metrics,
    )
