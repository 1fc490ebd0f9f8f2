"""The path of one recommendation: features, retrieve, rank, guard; and what stands in for each part that fails.

Knows neither HTTP nor Ray. `api` gives it a transport, `recommender` a process.

    features down            popular items     cold       degraded
    user unknown or new      popular items     cold
    retriever fails          popular items     cold       degraded
    student down             retriever order   retriever  degraded
    Reasoner asked but down  student's order   student    degraded
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import numpy as np

from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, advance
from raconteur.guard.grounding import ground
from raconteur.policy.signals import RouteRequest
from raconteur.represent.recent import append_recent
from raconteur.types import Candidate, Event, FloatArray
from serving.door.schema import EventsAnswer, EventsRequest, RecommendRequest, Route
from serving.follow import Follower, Loaded
from serving.path.routing import REASONER, STUDENT, Routed
from serving.path.stock import Stock, popular, retrieve
from serving.path.trace import Served, Stopwatch

Result = TypeVar("Result")
MAX_REASON_CHARS = 300
MAX_ASKED = 8  # requests at the Reasoner at which it counts as fully loaded


class Features(Protocol):
    """The online store: serving/path/features.py, or another one of the same shape."""

    def read(self, user_id: str) -> UserState | None: ...

    def push(self, user_id: str, events: Sequence[Event]) -> object: ...


class Ranker(Protocol):
    async def score(self, text: str, candidates: Sequence[str]) -> tuple[FloatArray, str]: ...


@dataclass(frozen=True, slots=True)
class Ranked:
    """An order of the candidates, before the guard."""

    route: Route
    reason: str
    version: str
    candidates: Sequence[Candidate]
    scores: Sequence[float]
    degraded: bool = False
    text: str = ""
    routed: Routed | None = None  # None: no student answered, so nothing was to be decided


class Engine:
    """Answers requests with the champion's stock, the feature store and two model servers."""

    def __init__(
        self, config: Config, *, features: Features, stock: Follower[Stock], student: Ranker, reasoner: Ranker
    ) -> None:
        self._config = config
        self._rules = Rules.of(config)
        self._features = features
        self._stock = stock
        self._student = student
        self._reasoner = reasoner
        self._asked = 0  # requests that the Reasoner has now
        # One thread each: the online store's connection and the retriever are never used by two requests at once.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="retrieve")

    @property
    def version(self) -> str:
        """Model version that serves now."""
        return self._stock.current.version

    @property
    def titles(self) -> Mapping[str, str]:
        return self._stock.current.parts.titles

    async def recommend(self, request: RecommendRequest) -> Served:
        watch, stock, request_id = Stopwatch(), self._stock.current, uuid.uuid4().hex
        state, failure = await self._state_of(request, stock.parts, watch)
        ranked = await self._rank(request, request_id, state, failure, stock, watch)
        with watch.stage("guard"):
            proposed = [
                replace(candidate, score=float(score))
                for candidate, score in zip(ranked.candidates, ranked.scores, strict=True)
            ]
            asked = {candidate.item_id for candidate in ranked.candidates}
            grounded = ground(proposed, candidates=asked, available=stock.parts.available, k=request.k)
        narrative = state.narrative if state else None
        return Served(
            request_id=request_id,
            time=datetime.now(UTC),
            user_id=request.user_id,
            k=request.k,
            route=ranked.route,
            reason=ranked.reason[:MAX_REASON_CHARS],
            degraded=ranked.degraded,
            version=ranked.version,
            narrative_version=narrative.verbalizer_version if narrative else None,
            catalogue_version=narrative.catalogue_version if narrative else None,
            text=ranked.text,
            candidates=ranked.candidates,
            scores=ranked.scores,
            ranking=grounded.ranking,
            repairs=grounded.reasons,
            routed=ranked.routed,
            num_events=state.num_events if state else 0,
            stage_ms=watch.stage_ms,
            latency_ms=watch.total_ms(),
        )

    async def learn(self, request: EventsRequest, events: Sequence[Event]) -> EventsAnswer:
        """Updates the user's online features; the caller has written the events to the log before."""
        _, failure = await self._ask_store(lambda: self._features.push(request.user_id, events))
        known = self._stock.current.parts.available
        unknown = sorted({event.item_id for event in events if event.item_id not in known})
        return EventsAnswer(accepted=len(events), features_updated=failure is None, unknown_items=unknown)

    def close(self) -> None:
        self._stock.stop()
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._computing.shutdown(wait=False, cancel_futures=True)

    async def _state_of(
        self, request: RecommendRequest, stock: Stock, watch: Stopwatch
    ) -> tuple[UserState | None, str | None]:
        """What is known about who asks, or None with the failure if the store could not say."""
        with watch.stage("features"):
            if request.history is not None:
                return self._state_from(request, stock), None
            user_id = request.user_id or ""
            return await self._ask_store(lambda: self._features.read(user_id))

    def _state_from(self, request: RecommendRequest, stock: Stock) -> UserState:
        now = datetime.now(UTC)
        events = [event.to_event(default_type=self._rules.targets[0], now=now) for event in request.history or ()]
        known = sorted((event for event in events if event.item_id in stock.available), key=lambda one: one.event_time)
        return advance(UserState(request.user_id or ""), known, categories=stock.categories, rules=self._rules)

    async def _rank(
        self,
        request: RecommendRequest,
        request_id: str,
        state: UserState | None,
        failure: str | None,
        stock: Loaded[Stock],
        watch: Stopwatch,
    ) -> Ranked:
        count = max(request.k, self._config.serve.num_retrieved)
        if failure:
            return _cold(stock, f"features are down: {failure}", count=count, degraded=True)
        if state is None:
            return _cold(stock, "unknown user", count=count)
        if not state.recent_items:
            return _cold(stock, "the user has taken nothing yet", seen=state.seen_items, count=count)
        with watch.stage("retrieve"):
            try:
                candidates = await self._retrieve(stock.parts, state, count)
            except Exception as error:  # a model's failure degrades the answer, not the service
                reason = f"the retriever failed: {error!r}"
                return _cold(stock, reason, seen=state.seen_items, count=count, degraded=True)
        if not candidates:
            return _cold(stock, "nothing is left to propose", seen=state.recent_items, count=count)
        text = _text_of(state)
        ids = [candidate.item_id for candidate in candidates]
        try:
            with watch.stage("student"):
                scores, version = await self._student.score(text, ids)
        except ServingError as error:
            order = [candidate.score for candidate in candidates]
            return Ranked("retriever", str(error), stock.version, candidates, order, degraded=True, text=text)
        routing = stock.parts.routing
        combined = routing.combined(STUDENT, scores, candidates)
        asked = RouteRequest(
            scores=combined.astype(np.float32),
            num_events=state.num_events,
            num_cold=routing.num_cold(candidates),
            request_id=request_id,
            num_asked=request.k,
            latency_left_ms=_left_ms(request, watch),
            load=self._asked / MAX_ASKED,
        )
        routed = routing.decide(asked, same_version=version == stock.version)
        reason = routed.decision.reason
        by_student = Ranked("student", reason, version, candidates, combined.tolist(), text=text, routed=routed)
        if routed.decision.ranker == STUDENT:
            return by_student
        try:
            with watch.stage("reasoner"):
                scores, version = await self._ask_reasoner(text, ids)
        except ServingError as error:
            return replace(by_student, reason=f"{reason}, but {error}", degraded=True)
        combined = routing.combined(REASONER, scores, candidates)
        return replace(by_student, route="reasoner", version=version, scores=combined.tolist())

    async def _ask_reasoner(self, text: str, ids: Sequence[str]) -> tuple[FloatArray, str]:
        self._asked += 1
        try:
            return await self._reasoner.score(text, ids)
        finally:
            self._asked -= 1

    async def _retrieve(self, stock: Stock, state: UserState, count: int) -> list[Candidate]:
        seen = {*state.seen_items, *state.recent_items}
        return await asyncio.get_running_loop().run_in_executor(
            self._computing, lambda: retrieve(stock, state.recent_items, seen=seen, count=count)
        )

    async def _ask_store(self, call: Callable[[], Result]) -> tuple[Result | None, str | None]:
        """The store's answer, or what failed. Bounded in time, since a store may be remote."""
        try:
            async with asyncio.timeout(self._config.serve.timeout_ms / 1000):
                return await asyncio.get_running_loop().run_in_executor(self._reading, call), None
        except Exception as error:  # a store fails in the ways of its backend; each of them degrades one answer
            return None, f"{type(error).__name__}: {error}"


def _cold(stock: Loaded[Stock], reason: str, *, count: int, seen: Sequence[str] = (), degraded: bool = False) -> Ranked:
    candidates = popular(stock.parts, seen=seen, count=count)
    scores = [candidate.score for candidate in candidates]
    return Ranked("cold", reason, stock.version, candidates, scores, degraded=degraded)


def _left_ms(request: RecommendRequest, watch: Stopwatch) -> float | None:
    """Of the client's latency budget; None: it set none."""
    return None if request.latency_budget_ms is None else request.latency_budget_ms - watch.total_ms()


def _text_of(state: UserState) -> str:
    """The narrative, and after it the events that it does not cover yet."""
    narrative = state.narrative
    return append_recent(
        narrative.text if narrative else "", state.recent_events, as_of=narrative.as_of if narrative else None
    )
