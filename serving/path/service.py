"""A recommender that is open: the engine, the two logs and the metrics, from one config.

`open_service` is where the parts are chosen; everything else takes them as arguments.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from raconteur.artifacts import Registry
from raconteur.config.schema import Config
from raconteur.errors import ConfigError, ServingError
from raconteur.types import Event
from serving.backends.kserve import RemoteRanker
from serving.door.schema import EventsAnswer, EventsRequest, RecommendRequest
from serving.follow import Follower
from serving.path.engine import Engine
from serving.path.features import OnlineFeatures
from serving.path.stock import load_stock
from serving.path.trace import Served
from serving.protocol import MAX_CANDIDATES
from serving.records.metrics import Metrics
from serving.records.parquet_log import ParquetLog
from serving.records.prediction_log import EVENTS, PREDICTIONS, event_row, open_log, prediction_row

STUDENT_URL = "RACONTEUR_STUDENT_URL"  # environment: addresses of the model servers where they are not on this machine
REASONER_URL = "RACONTEUR_REASONER_URL"


@dataclass(frozen=True, slots=True)
class Service:
    config: Config
    engine: Engine
    rankers: Sequence[RemoteRanker]
    predictions: ParquetLog
    events: ParquetLog
    metrics: Metrics = field(default_factory=Metrics)

    async def recommend(self, request: RecommendRequest) -> Served:
        served = await self.engine.recommend(request)
        self.predictions.append([prediction_row(served)])
        self.metrics.count_served(served)
        return served

    async def learn(self, request: EventsRequest) -> EventsAnswer:
        """
        Raises:
            ServingError: the log is full; nothing was taken.
        """
        now, default_type = datetime.now(UTC), self.config.data.targets[0]
        events: list[Event] = [event.to_event(default_type=default_type, now=now) for event in request.events]
        if not self.events.append([event_row(request.user_id, event) for event in events]):
            raise ServingError("the event log is full; none of the events was taken, send them again later")
        return await self.engine.learn(request, events)

    async def close(self) -> None:
        self.engine.close()
        for log in (self.predictions, self.events):
            log.close()
        for ranker in self.rankers:
            await ranker.close()


def open_service(config: Config) -> Service:
    """
    Raises:
        ConfigError: more candidates than a model server takes.
        ArtifactError: no usable champion.
        ServingError: no feature store.
    """
    serve, workdir, metrics = config.serve, config.workdir, Metrics()
    if max(serve.num_retrieved, serve.max_k) > MAX_CANDIDATES:
        raise ConfigError(
            f"serve.num_retrieved and serve.max_k may be {MAX_CANDIDATES} at most: one call ranks them all"
        )
    margin = config.serve.route_margin
    stock = Follower(
        Registry(workdir / "models"), lambda version: load_stock(version, workdir / "features", min_margin=margin)
    )
    stock.start()
    timeout_s = serve.timeout_ms / 1000
    student = RemoteRanker("student", _url(STUDENT_URL, serve.host, serve.student_port), timeout_s=timeout_s)
    reasoner = RemoteRanker("reasoner", _url(REASONER_URL, serve.host, serve.reasoner_port), timeout_s=timeout_s)
    features = OnlineFeatures(workdir / "features")
    return Service(
        config=config,
        engine=Engine(config, features=features, stock=stock, student=student, reasoner=reasoner),
        rankers=(student, reasoner),
        predictions=open_log(
            workdir / "predictions", PREDICTIONS, serve, count=partial(metrics.count_rows, "predictions")
        ),
        events=open_log(workdir / "events", EVENTS, serve, count=partial(metrics.count_rows, "events")),
        metrics=metrics,
    )


def _url(variable: str, host: str, port: int) -> str:
    return os.environ.get(variable, f"http://{host}:{port}")
