"""A service in this process over the four-film world: real stock, guard, router and logs; the rankers and the store are
small real ones, so that each can be made to fail."""

import asyncio
from functools import partial

from serving_world import START, TITLES, WordOverlap

from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, advance
from raconteur.pseudonym import pseudonym_key
from raconteur.types import Event, Narrative
from serving.path.beside import Retrieval, Source
from serving.path.engine import Engine
from serving.path.refresh import Refresh
from serving.path.service import Service
from serving.records.metrics import Metrics
from serving.records.prediction_log import EVENTS, PREDICTIONS, open_log


class LocalRanker:
    """WordOverlap behind the recommender's side of a model server."""

    def __init__(self, weight, version="v1", name="student"):
        self.name = name
        self.asked = 0
        self.waits_s = 0.0
        self._ranker = WordOverlap(TITLES, weight)
        self._version = version
        self.failure = None

    async def score(self, text, candidates, *, timeout_s):
        self.asked += 1
        await asyncio.sleep(min(self.waits_s, timeout_s))
        if self.waits_s > timeout_s:
            raise ServingError(f"{self.name} gave no answer within {timeout_s * 1000:g} ms")
        if self.failure:
            raise ServingError(self.failure)
        return self._ranker.score([text], [list(candidates)])[0], self._version

    async def close(self):
        pass


class MemoryStore:
    """User states in a dictionary, moved on by the real rules."""

    def __init__(self, config):
        self._rules = Rules.of(config)
        self.users = {}
        self.failure = None

    def read(self, user_id):
        if self.failure:
            raise self.failure
        return self.users.get(user_id)

    def push(self, user_id, events, categories):
        if self.failure:
            raise self.failure
        before = self.users.get(user_id) or UserState(user_id)
        self.users[user_id] = advance(before, events, categories=categories, rules=self._rules)
        return self.users[user_id]


def user(user_id, taken, text=""):
    narrative = Narrative(user_id, text, START, "verbalizer-1", "catalogue-1") if text else None
    events = tuple(Event(item, START, "play") for item in taken)
    return UserState(
        user_id,
        num_events=len(taken),
        recent_items=tuple(taken),
        recent_events=events,
        seen_items=tuple(taken),
        narrative=narrative,
    )


# Calls wait as long as a busy machine needs: a test of what a slow part does sets its own times.
PATIENT = {"features_timeout_ms": 20_000.0, "timeout_ms": 20_000.0}


def open_local(workdir, *, num_ranked=20, **serve):
    """Service, store, student and Reasoner; the world's version must stand in workdir/models."""
    serve = {"log_seconds": 0.05, **PATIENT, **serve}
    config = Config(workdir=workdir, serve=serve, retrieve={"num_ranked": num_ranked})
    store, student, reasoner = MemoryStore(config), LocalRanker(1.0), LocalRanker(10.0, name="reasoner")
    source = Source(workdir / "models", workdir / "features", config.route)
    metrics = Metrics()
    refresh = Refresh(store, None, after=0, count=metrics.count_refresh)
    service = Service(
        config=config,
        engine=Engine(
            config,
            features=store,
            stock=source.open(),
            student=student,
            reasoner=reasoner,
            metrics=metrics,
            refresh=refresh,
            retrieval=Retrieval(),
        ),
        pseudonym_key=pseudonym_key(workdir),
        predictions=open_log(
            workdir / "predictions", PREDICTIONS, config.serve, count=partial(metrics.count_rows, "predictions")
        ),
        events=open_log(workdir / "events", EVENTS, config.serve, count=partial(metrics.count_rows, "events")),
        metrics=metrics,
    )
    return service, store, student, reasoner
