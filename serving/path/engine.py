"""The path of one recommendation: features, retrieve, rank, guard; and what stands in for each part that fails.

Knows neither HTTP nor Ray. `door.app` gives it a transport, `recommender` a process. Ranking has two stages: the
retriever finds what may be shown, a model puts the first `retrieve.num_ranked` of it in order, the rest follows in the
retriever's order. Candidates that a client names are all ranked.

    features down            last known state  as usual   degraded
      and nothing is known   popular items     cold       degraded
    user unknown or new      popular items     cold
    retriever fails          popular items     cold       degraded
    student down             retriever order   retriever  degraded
    Reasoner asked but down  student's order   student    degraded

The last two stand in `ladder`, the first two in `people`.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest

from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, advance
from raconteur.guard.grounding import ground
from raconteur.guard.occlusion import Share
from raconteur.guard.rules import Wanted
from raconteur.represent.facts import Facts
from raconteur.represent.recent import append_recent
from raconteur.types import Candidate, Event
from serving.backends.contract import Ranker, champion_of
from serving.follow import Follower, Loaded
from serving.path.beside import Retrieval
from serving.path.breaker import Breaker
from serving.path.cache import Cache
from serving.path.ladder import Asked, Ladder, Ranked, Scored
from serving.path.people import Features, Known, People
from serving.path.reasons import Writer, evidence, reasons, written
from serving.path.refresh import Refresh, num_newer
from serving.path.routing import REASONER, STUDENT
from serving.path.stock import Found, Quest, Stock, Wish, popular
from serving.path.trace import Served, Stopwatch
from serving.records.metrics import Metrics
from serving.schema import EventsAnswer, EventsRequest, Filters, RecommendRequest

MAX_REASON_CHARS = 300
FEATURES = "features"
PARTS = (FEATURES, STUDENT, REASONER)
NOTHING = Found([])
ANYTHING = Wanted()


class Engine:
    """Answers requests with the champion's stock, the feature store and two rankers."""

    def __init__(
        self,
        config: Config,
        *,
        features: Features,
        stock: Follower[Stock],
        student: Ranker,
        reasoner: Ranker,
        metrics: Metrics,
        refresh: Refresh,
        retrieval: Retrieval,
    ) -> None:
        serve = config.serve
        self._config = config
        self._rules = Rules.of(config)
        self._stock = stock
        self._metrics = metrics
        self._refresh = refresh
        self._retrieval = retrieval
        self._num_in_work = 0
        self.breakers = {name: _breaker(name, config, metrics) for name in PARTS}
        self.answers: Cache[Served] = _cache("answers", config, metrics)
        self.scores: Cache[Scored] = _cache("reasoner", config, metrics)
        self._people = People(
            features, self._rules, self.breakers[FEATURES], timeout_s=serve.features_timeout_ms / 1000
        )
        self.rankers = {STUDENT: student, REASONER: reasoner}
        self._ladder = Ladder(serve, rankers=self.rankers, breakers=self.breakers, scores=self.scores)

    @property
    def version(self) -> str:
        """Model version that serves now."""
        return self._stock.current.version

    @property
    def stock(self) -> Stock:
        return self._stock.current.parts

    @property
    def titles(self) -> Mapping[str, str]:
        return self.stock.titles

    async def recommend(self, request: RecommendRequest, *, request_id: str) -> Served:
        watch, stock = Stopwatch(), self._stock.current
        with watch.stage("features"):
            known = await self._known(request, stock.parts, watch)
        if known.state is not None and request.history is None:
            self._refresh.offer(known.state)
        key = _key(request, known, stock)
        self._num_in_work += 1
        try:
            served, was_there = await self.answers.get(
                key,
                lambda: self._answer(request, request_id, known, stock, watch),
                keeps=lambda one: _lasts(one, stock),
            )
        finally:
            self._num_in_work -= 1
        if not was_there:
            return served
        now = datetime.now(UTC)
        return replace(
            served,
            request_id=request_id,
            time=now,
            cached=True,
            stage_ms=watch.stage_ms,
            latency_ms=watch.total_ms(),
        )

    async def learn(self, request: EventsRequest, events: Sequence[Event]) -> EventsAnswer:
        """Updates the user's online features; the caller has written the events to the log before."""
        stock = self.stock
        timeout_s = self._config.serve.timeout_ms / 1000
        known = await self._people.learn(request.user_id, events, categories=stock.categories, timeout_s=timeout_s)
        unknown = sorted({event.item_id for event in events if event.item_id not in stock.available})
        return EventsAnswer(accepted=len(events), features_updated=known.failure is None, unknown_items=unknown)

    async def state(self, user_id: str) -> Known:
        """What the feature store knows of a user."""
        return await self._people.read(
            user_id, categories=self.stock.categories, timeout_s=self._config.serve.features_timeout_ms / 1000
        )

    def start(self) -> None:
        """Begins the work in the background, in the running event loop."""
        self._refresh.start()
        self._retrieval.start()

    async def close(self) -> None:
        await self._refresh.close()
        await self._retrieval.close()
        self._stock.stop()
        self._people.close()
        await self._ladder.close()

    async def _known(self, request: RecommendRequest, stock: Stock, watch: Stopwatch) -> Known:
        if request.history is not None:
            return Known(self._state_from(request, stock))
        left_ms = self._left_ms(request, watch, self._config.serve.features_timeout_ms)
        return await self._people.read(request.user_id or "", categories=stock.categories, timeout_s=left_ms / 1000)

    def _state_from(self, request: RecommendRequest, stock: Stock) -> UserState:
        now = datetime.now(UTC)
        events = [event.to_event(default_type=self._rules.targets[0], now=now) for event in request.history or ()]
        known = sorted((event for event in events if event.item_id in stock.available), key=lambda one: one.event_time)
        return advance(UserState(request.user_id or ""), known, categories=stock.categories, rules=self._rules)

    async def _answer(
        self, request: RecommendRequest, request_id: str, known: Known, stock: Loaded[Stock], watch: Stopwatch
    ) -> Served:
        state = known.state
        wish = Wish(_wanted(request.filters), request.query, tuple(request.candidates) if request.candidates else None)
        ranked, found = await self._rank(request, request_id, known, wish, stock, watch)
        with watch.stage("guard"):
            listed = filled(ranked, found.candidates)
            grounded = ground(
                listed,
                candidates={candidate.item_id for candidate in listed},
                available=_may_be_shown(stock.parts, wish),
                k=request.k,
            )
            said = reasons(stock.parts, state, grounded.ranking, query=request.query, carried=found.carried)
        shares: Mapping[str, Sequence[Share]] = {}
        if request.explain and state is not None:
            with watch.stage("explain"):
                shares = await self._shares(request, ranked, stock.parts, watch)
                said = await self._written(request, said, grounded.ranking, state, stock.parts, watch)
        narrative = state.narrative if state else None
        if state and narrative:
            self._metrics.observe_narrative_age(num_newer(state))
        return Served(
            request_id=request_id,
            time=datetime.now(UTC),
            user_id=request.user_id,
            k=request.k,
            route=ranked.route,
            reason=ranked.reason[:MAX_REASON_CHARS],
            degraded=ranked.degraded or known.failure is not None,
            cached=False,
            version=ranked.version,
            prompt_version=ranked.prompt,
            narrative_version=narrative.verbalizer_version if narrative else None,
            catalogue_version=stock.parts.catalogue_version,
            text=ranked.text,
            candidates=ranked.candidates,
            scores=ranked.scores,
            titles=stock.parts.titles,
            ranking=grounded.ranking,
            reasons=said,
            shares=shares,
            repairs=(*found.notes, *grounded.reasons),
            routed=ranked.routed,
            num_events=state.num_events if state else 0,
            stage_ms=watch.stage_ms,
            latency_ms=watch.total_ms(),
        )

    async def _rank(
        self,
        request: RecommendRequest,
        request_id: str,
        known: Known,
        wish: Wish,
        stock: Loaded[Stock],
        watch: Stopwatch,
    ) -> tuple[Ranked, Found]:
        """The order of the candidates, and what the retriever said of them."""
        num_ranked = self._config.retrieve.num_ranked
        count = max(request.k, num_ranked)
        state, failed = known.state, known.failure
        if state is None:
            reason = f"features are down: {failed}" if failed else "unknown user"
            return _cold(stock, reason, wish=wish, count=count, degraded=bool(failed)), NOTHING
        seen = {*state.seen_items, *state.recent_items}
        if not state.recent_items:
            return _cold(stock, "the user has taken nothing yet", wish=wish, seen=seen, count=count), NOTHING
        with watch.stage("retrieve"):
            try:
                quest = Quest(state.recent_items, seen, wish, count)
                found = await self._retrieval.find(stock, quest, alone=self._num_in_work == 1)
            except Exception as error:  # a model's failure degrades the answer, not the service
                reason = f"the retriever failed: {error!r}"
                return _cold(stock, reason, wish=wish, seen=seen, count=count, degraded=True), NOTHING
        if not found.candidates:
            return _cold(stock, "nothing is left to propose", wish=wish, seen=state.recent_items, count=count), found
        asked = Asked(
            request_id=request_id,
            text=text_of(state),
            candidates=found.candidates[:num_ranked] if wish.given is None else found.candidates,
            num_events=state.num_events,
            num_asked=request.k if wish.given is not None else min(request.k, num_ranked),
            watch=watch,
            budget_ms=request.latency_budget_ms,
            query=request.query,
            wants_explanation=request.explain,
        )
        ranked = await self._ladder.rank(asked, stock)
        if failed:
            ranked = replace(ranked, reason=f"{ranked.reason}; features are down, the last known state stood in")
        return ranked, found

    async def _shares(
        self, request: RecommendRequest, ranked: Ranked, stock: Stock, watch: Stopwatch
    ) -> Mapping[str, Sequence[Share]]:
        """Evidence by item; none where no model ranked, or where it fails: an answer does not wait for its reasons."""
        if ranked.route not in self.rankers or self._left_alone(ranked.route):
            return {}
        ids = [candidate.item_id for candidate in ranked.candidates]
        timeout_s = self._left_ms(request, watch, self._config.serve.timeout_ms) / 1000
        try:
            return await evidence(self.rankers[ranked.route], ranked.text, ids, stock.categories, timeout_s=timeout_s)
        except ServingError:
            return {}

    async def _written(
        self,
        request: RecommendRequest,
        said: list[str],
        ranking: Sequence[Candidate],
        state: UserState,
        stock: Stock,
        watch: Stopwatch,
    ) -> list[str]:
        """The reasons, those of the first items in the Reasoner's words where it can write and what it says is true."""
        writer = self.rankers[REASONER]
        if not isinstance(writer, Writer) or self._left_alone(REASONER):
            return said
        facts = Facts(stock.categories, self._config.data)
        timeout_s = self._left_ms(request, watch, self._config.serve.timeout_ms) / 1000
        own = await written(writer, facts, stock, state, ranking, timeout_s=timeout_s)
        return [first or second for first, second in zip_longest(own, said, fillvalue="")]

    def _left_alone(self, name: str) -> bool:
        """Whether a part failed of late, so that asking it for reasons would be waiting for nothing."""
        return self.breakers[name].state != "closed"

    def _left_ms(self, request: RecommendRequest, watch: Stopwatch, most_ms: float) -> float:
        if request.latency_budget_ms is None:
            return most_ms
        return max(0.0, min(most_ms, request.latency_budget_ms - watch.total_ms()))


def text_of(state: UserState) -> str:
    """The narrative, and after it the events that it does not cover yet."""
    narrative = state.narrative
    return append_recent(
        narrative.text if narrative else "", state.recent_events, as_of=narrative.as_of if narrative else None
    )


def filled(ranked: Ranked, found: Sequence[Candidate]) -> list[Candidate]:
    """What was ranked, with the ranker's scores, and the rest of what the retriever found, in its order.

    The rest stands below whatever has a score: its own scores are moved so that they go on from the lowest. Below items
    that the ranker does not know (NaN) it is unknown as well, which keeps it behind them.
    """
    scores = [float(score) for score in ranked.scores]
    listed = [
        Candidate(candidate.item_id, score, candidate.source)
        for candidate, score in zip(ranked.candidates, scores, strict=True)
    ]
    rest = found[len(listed) :]
    if not rest:
        return listed
    lowest = math.nan if any(map(math.isnan, scores)) else min(scores)
    first = found[len(listed) - 1].score
    return listed + [Candidate(one.item_id, lowest + one.score - first, one.source) for one in rest]


def _cold(
    stock: Loaded[Stock],
    reason: str,
    *,
    wish: Wish,
    count: int,
    seen: Sequence[str] | set[str] = (),
    degraded: bool = False,
) -> Ranked:
    candidates = popular(stock.parts, seen=seen, wish=wish, count=count)
    scores = [candidate.score for candidate in candidates]
    return Ranked("cold", reason, stock.version, candidates, scores, degraded=degraded)


def _wanted(filters: Filters | None) -> Wanted:
    if filters is None:
        return ANYTHING
    return Wanted(
        categories=frozenset(filters.categories or ()),
        not_categories=frozenset(filters.not_categories),
        min_price=filters.min_price,
        max_price=filters.max_price,
        released_from=filters.released_from,
        released_to=filters.released_to,
        available=filters.available,
        excluded=frozenset(filters.exclude),
    )


def _may_be_shown(stock: Stock, wish: Wish) -> Mapping[str, bool]:
    return stock.available if wish.wanted.available else dict.fromkeys(stock.available, True)


def _key(request: RecommendRequest, known: Known, stock: Loaded[Stock]) -> Hashable:
    """Everything that an answer depends on: the request, the user's state and text, models, prompts and catalogue."""
    asked = request.model_dump_json(exclude={"request_id"})
    return (stock.version, stock.parts.catalogue_version, *stock.parts.prompts.values(), asked, _state_key(known))


def _lasts(served: Served, stock: Loaded[Stock]) -> bool:
    """Whether equal questions may get this answer: no part failed or was spared, no ranker was on another version."""
    spared = served.routed is not None and served.routed.decision.momentary
    return not served.degraded and not spared and champion_of(served.version) == stock.version


def _state_key(known: Known) -> Hashable:
    state = known.state
    if state is None:
        return known.failure is not None
    narrative = state.narrative
    text = (narrative.text, narrative.as_of, narrative.verbalizer_version) if narrative else None
    # Every event is counted, so that the newest ones themselves need not be looked at.
    return (
        *(state.user_id, state.num_events, state.last_event_time, state.recent_items, state.seen_items),
        *(state.categories, text, known.failure is not None),
    )


def _breaker(name: str, config: Config, metrics: Metrics) -> Breaker:
    serve = config.serve
    return Breaker(
        name,
        failures=serve.breaker_failures,
        pause_s=serve.breaker_seconds,
        changed=lambda is_open: metrics.set_breaker(name, open=is_open),
    )


def _cache(name: str, config: Config, metrics: Metrics) -> Cache:
    serve = config.serve
    return Cache(
        max_entries=serve.cache_entries,
        ttl_s=serve.cache_seconds,
        count=lambda outcome: metrics.count_cache(name, outcome),
    )
