"""The record of one answered request: everything that the answer, the prediction log and the metrics are made from."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from raconteur.guard.occlusion import Share
from raconteur.types import Candidate
from serving.path.routing import Routed
from serving.records.tracing import span
from serving.schema import Route


@dataclass(frozen=True, slots=True)
class Served:
    request_id: str
    time: datetime
    user_id: str | None
    k: int
    route: Route
    reason: str
    degraded: bool
    cached: bool  # ranked for an equal request a moment ago
    version: str  # of the model that ranked
    prompt_version: str | None
    narrative_version: str | None
    catalogue_version: str
    text: str  # what the ranker read; empty on the cold path
    candidates: Sequence[Candidate]  # what was put in order; an answer of more items goes on as the retriever had it
    scores: Sequence[float]  # one a candidate, of the ranker
    titles: Mapping[str, str]  # of the catalogue that answered, which may have been replaced since
    ranking: Sequence[Candidate]  # what was answered, with the ranker's scores
    reasons: Sequence[str]  # one an item of the ranking
    shares: Mapping[str, Sequence[Share]]  # by item: what in the text carried its score; only where it was asked for
    repairs: Sequence[str]
    routed: Routed | None  # None where the student was not asked or failed
    num_events: int
    stage_ms: dict[str, float]
    latency_ms: float


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds since the request came in, and within each stage."""

    started: float = field(default_factory=time.perf_counter)
    stage_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before = time.perf_counter()
        try:
            with span(name):
                yield
        finally:
            self.stage_ms[name] = (time.perf_counter() - before) * 1000

    def total_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000
