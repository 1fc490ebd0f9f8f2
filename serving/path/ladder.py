"""Who ranks the candidates: the student, the Reasoner where it pays, and the retriever's order where both fail.

    student down             retriever order   retriever  degraded
    Reasoner asked but down  student's order   student    degraded

A call never outlives the request's latency budget; a part that fails again and again is left alone for a while.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raconteur.config.schema import ServeConfig
from raconteur.errors import ServingError
from raconteur.policy.signals import RouteRequest
from raconteur.types import Candidate, FloatArray
from serving.backends.contract import Ranker, champion_of
from serving.follow import Loaded
from serving.path.breaker import Breaker, SpentError
from serving.path.budget import Budget
from serving.path.cache import Cache
from serving.path.routing import REASONER, STUDENT, Routed
from serving.path.stock import Stock
from serving.path.trace import Stopwatch
from serving.schema import Route

MAX_ASKED = 8  # requests at the Reasoner at which it counts as fully loaded
LEAST_MS = 1.0  # with less of the budget left nobody is asked

Scored = tuple[FloatArray, str]  # scores [N] and the model's version


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as ranking depends on it."""

    request_id: str
    text: str
    candidates: Sequence[Candidate]
    num_events: int
    num_asked: int
    watch: Stopwatch
    budget_ms: float | None
    query: str | None = None
    wants_explanation: bool = False  # by a Reasoner that can write

    def left_ms(self) -> float | None:
        return None if self.budget_ms is None else self.budget_ms - self.watch.total_ms()

    @property
    def ids(self) -> list[str]:
        return [candidate.item_id for candidate in self.candidates]


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
    prompt: str | None = None
    routed: Routed | None = None  # None: no student answered, so nothing was to be decided


class Ladder:
    """
    Args:
        rankers: student and Reasoner, by name.
        breakers: of both, by name.
        scores: keeps what the Reasoner said.
    """

    def __init__(
        self,
        serve: ServeConfig,
        *,
        rankers: Mapping[str, Ranker],
        breakers: Mapping[str, Breaker],
        scores: Cache[Scored],
    ) -> None:
        self._serve = serve
        self._rankers = rankers
        self._breakers = breakers
        self._scores = scores
        self._asked = 0  # requests that the Reasoner has now
        self._budget = Budget(serve.reasoner_per_minute)

    async def rank(self, asked: Asked, stock: Loaded[Stock]) -> Ranked:
        routing = stock.parts.routing
        try:
            with asked.watch.stage(STUDENT):
                scores, version = await self._ask(STUDENT, asked.text, asked.ids, asked)
        except ServingError as error:
            order = [candidate.score for candidate in asked.candidates]
            return Ranked(
                "retriever", str(error), stock.version, asked.candidates, order, degraded=True, text=asked.text
            )
        combined = routing.combined(STUDENT, scores, asked.candidates)
        routed = routing.decide(
            self._request(asked, stock, routing.judged(scores, combined)),
            same_version=champion_of(version) == stock.version,
        )
        by_student = Ranked(
            "student",
            routed.decision.reason,
            version,
            asked.candidates,
            combined.tolist(),
            text=asked.text,
            prompt=stock.parts.prompts[STUDENT],
            routed=routed,
        )
        if routed.decision.ranker == STUDENT:
            return by_student
        try:
            with asked.watch.stage(REASONER):
                scores, version = await self.reason(asked, stock)
        except ServingError as error:
            return replace(by_student, reason=f"{by_student.reason}, but {error}", degraded=True)
        combined = routing.combined(REASONER, scores, asked.candidates)
        return replace(
            by_student,
            route="reasoner",
            version=version,
            scores=combined.tolist(),
            prompt=stock.parts.prompts[REASONER],
        )

    async def reason(self, asked: Asked, stock: Loaded[Stock]) -> Scored:
        """What the Reasoner says, kept for equal questions to the same version."""
        text, ids = self._readable(asked), tuple(asked.ids)
        key = (stock.version, stock.parts.prompts[REASONER], text, ids)
        calls = 0  # that this request made

        def calling() -> None:
            nonlocal calls
            calls += 1

        async def ask() -> Scored:
            self._asked += 1
            try:
                return await self._ask(REASONER, text, ids, asked, calling)
            finally:
                self._asked -= 1

        def current(made: Scored) -> bool:
            return champion_of(made[1]) == stock.version

        # Paid for before anything is awaited: what is decided next sees it.
        self._budget.spend()
        try:
            return (await self._scores.get(key, ask, keeps=current))[0]
        except SpentError:  # perhaps of another request that asked the same and had less time
            left_ms = asked.left_ms()
            if left_ms is not None and left_ms < LEAST_MS:
                raise
            return (await self._scores.get(key, ask, keeps=current))[0]
        finally:
            if not calls:
                self._budget.give_back()

    async def close(self) -> None:
        for ranker in self._rankers.values():
            await ranker.close()

    async def _ask(
        self, name: str, text: str, ids: Sequence[str], asked: Asked, calling: Callable[[], None] = lambda: None
    ) -> Scored:
        """
        Args:
            calling: told that the part is really called.

        Raises:
            ServingError: no ranking in time.
        """
        left_ms = asked.left_ms()
        if left_ms is not None and left_ms < LEAST_MS:
            raise SpentError(f"{name} is not asked: the latency budget of {asked.budget_ms:g} ms is spent")

        async def call() -> Scored:
            calling()
            if left_ms is not None and left_ms < self._serve.timeout_ms:
                return await self._hurried(name, text, ids, asked)
            return await self._rankers[name].score(text, ids, timeout_s=self._serve.timeout_ms / 1000)

        return await self._breakers[name].call(call)

    async def _hurried(self, name: str, text: str, ids: Sequence[str], asked: Asked) -> Scored:
        """Within what is left of the budget.

        Raises:
            SpentError: the budget was spent first.
        """
        left_ms = asked.left_ms() or 0.0
        try:
            return await self._rankers[name].score(text, ids, timeout_s=max(left_ms, LEAST_MS) / 1000)
        except ServingError as error:
            if (asked.left_ms() or 0.0) < LEAST_MS:
                raise SpentError(str(error)) from None
            raise

    def _readable(self, asked: Asked) -> str:
        """A query is written under the text where a general language model reads it; the others never saw one."""
        if asked.query is None or not self._reads:
            return asked.text
        return f"{asked.text}\nThe user asks for: {asked.query}"

    @property
    def _reads(self) -> bool:
        return self._serve.reasoner.kind == "openai"

    def _request(self, asked: Asked, stock: Loaded[Stock], judged: FloatArray) -> RouteRequest:
        return RouteRequest(
            scores=judged.astype(np.float32),
            num_events=asked.num_events,
            num_cold=stock.parts.routing.num_cold(asked.candidates),
            request_id=asked.request_id,
            num_asked=asked.num_asked,
            wants_query=asked.query is not None and self._reads,
            wants_explanation=asked.wants_explanation and self._reads,
            latency_left_ms=asked.left_ms(),
            load=self._asked / MAX_ASKED,
            cost_left=self._budget.left,
        )
