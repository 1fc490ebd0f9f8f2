"""Takes an answer apart for the console: what `console_api.Inspectable` asks for, from an open service.

An inspected request is a real one: it is logged, counted and cached as any other. Only what the answer did not need is
asked besides: the Reasoner where the student decided, and a ranker that failed once more.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.features.state import UserState
from raconteur.policy.signals import NAMES, signals_of
from raconteur.types import Candidate
from serving.door.answer import answer
from serving.door.console_schema import AskedRanker, Cache, Decision, InspectedItem, Inspection, Part, Status
from serving.path.routing import REASONER, STUDENT, Routed, Routing
from serving.path.service import Service
from serving.path.stock import Stock
from serving.path.trace import Served
from serving.schema import RecommendRequest

Scores = Sequence[float]  # one a candidate, NaN where unknown


class Inspector:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._rankers = service.engine.rankers
        self._traffic = service.traffic
        self._versions: dict[str, str] = {}  # that the rankers last answered with

    @property
    def config(self) -> Config:
        return self._service.config

    @property
    def titles(self) -> Mapping[str, str]:
        return self._service.engine.titles

    @property
    def categories(self) -> Mapping[str, Sequence[str]]:
        return self._service.engine.stock.categories

    async def state(self, user_id: str) -> UserState | None:
        known = await self._service.engine.state(user_id)
        if known.state is None and known.failure:
            raise ServingError(f"features are down: {known.failure}")
        return known.state

    async def inspect(self, request: RecommendRequest) -> Inspection:
        served, stock = await self._service.recommend(request), self._service.engine.stock
        (student, student_scores), (reasoner, reasoner_scores) = await asyncio.gather(
            self._scored(STUDENT, served, stock), self._scored(REASONER, served, stock)
        )
        rank = {candidate.item_id: place for place, candidate in enumerate(served.ranking, start=1)}

        def item(candidate: Candidate, *scores: float) -> InspectedItem:
            retriever, student, reasoner = map(_known, scores)
            return InspectedItem(
                item_id=candidate.item_id,
                title=served.titles.get(candidate.item_id, candidate.item_id),
                categories=list(stock.categories.get(candidate.item_id, ())),
                source=candidate.source,
                retriever_score=retriever,
                student_score=student,
                reasoner_score=reasoner,
                rank=rank.get(candidate.item_id),
            )

        ranked = {candidate.item_id for candidate in served.candidates}
        scores = zip(served.candidates, student_scores, reasoner_scores, strict=True)
        return Inspection(
            answer=answer(served),
            candidates=[
                *(item(candidate, candidate.score, *both) for candidate, *both in scores),
                *(item(filled, *[math.nan] * 3) for filled in served.ranking if filled.item_id not in ranked),
            ],
            student=student,
            reasoner=reasoner,
            decision=_decision(served.routed, stock.routing),
            text=served.text,
        )

    def status(self) -> Status:
        engine = self._service.engine
        return Status(
            version=engine.version,
            parts=[
                Part(name=name, version=self._versions.get(name), breaker=breaker.state)
                for name, breaker in engine.breakers.items()
            ],
            traffic=self._service.traffic.summary(),
            caches=self._caches({"answers": len(engine.answers), "reasoner": len(engine.scores), "encodings": None}),
        )

    async def _scored(self, name: str, served: Served, stock: Stock) -> tuple[AskedRanker, Scores]:
        """A ranker's scores of the candidates, from the answer where it holds them."""
        if served.route == name:
            self._versions[name] = served.version
            return AskedRanker(version=served.version, latency_ms=served.stage_ms.get(name)), served.scores
        if name == STUDENT and served.routed is not None:
            return AskedRanker(
                version=None, latency_ms=served.stage_ms.get(name)
            ), served.routed.request.scores.tolist()
        if not served.text:  # the cold path ranks nothing
            return AskedRanker(version=None, latency_ms=None), [math.nan] * len(served.candidates)
        return await self._ask(name, served, stock)

    async def _ask(self, name: str, served: Served, stock: Stock) -> tuple[AskedRanker, Scores]:
        engine = self._service.engine
        ranker, breaker = engine.rankers[name], engine.breakers[name]
        ids = [candidate.item_id for candidate in served.candidates]
        timeout_s, before = self.config.serve.timeout_ms / 1000, time.perf_counter()
        try:
            scores, version = await breaker.call(lambda: ranker.score(served.text, ids, timeout_s=timeout_s))
        except ServingError as error:
            return AskedRanker(version=None, latency_ms=None, failure=str(error)), [math.nan] * len(ids)
        self._versions[name] = version
        combined = stock.routing.combined(name, scores, served.candidates)
        return AskedRanker(version=version, latency_ms=(time.perf_counter() - before) * 1000), combined.tolist()

    def _caches(self, entries: Mapping[str, int | None]) -> list[Cache]:
        counted = self._service.metrics.cache_counts()
        return [
            Cache(
                name=name,
                hits=counted.get((name, "hit"), 0) + counted.get((name, "shared"), 0),
                misses=counted.get((name, "miss"), 0),
                entries=number,
            )
            for name, number in entries.items()
        ]


def _decision(routed: Routed | None, routing: Routing) -> Decision | None:
    if routed is None:
        return None
    router = routing.router if routed.router_version == routing.router.version else routing.fallback
    temperature = router.calibration.temperature if router.calibration and router.calibrated else 1.0
    signals = signals_of(routed.request, temperature=temperature)
    made = routed.decision
    return Decision(
        ranker=made.ranker,
        reason=made.reason,
        mode=made.mode,
        margin=made.margin,
        gain=made.gain,
        probability=made.probability,
        propensity=made.propensity,
        threshold=_known(router.threshold),
        router_version=routed.router_version,
        signals=dict(zip(NAMES, signals.tolist(), strict=True)) | {"load": routed.request.load},
    )


def _known(value: float) -> float | None:
    """None for what JSON cannot say: an unknown score, or a threshold that is never or always passed."""
    return float(value) if np.isfinite(value) else None
