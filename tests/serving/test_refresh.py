"""Narratives that are written again in the background, over a store in memory; over Feast: test_features_online.py."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from local_service import MemoryStore
from serving_world import START, catalogue
from verbalizer_world import Counting
from waiting import until

from raconteur.config.schema import Config
from raconteur.data.dataset import EVENTS
from raconteur.data.histories import history_before
from raconteur.errors import ServingError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, row_state
from raconteur.features.user import user_features, user_keys
from raconteur.types import Event, Narrative
from serving.narration import Author
from serving.path.refresh import MAX_ATTEMPTS, Refresh, num_newer

AUTHOR = Author("v1", "w1", "c1")


class NarratedStore(MemoryStore):
    """Users' states and narratives in memory."""

    def push_narrative(self, narrative):
        if self.failure:
            raise self.failure
        state = self.users[narrative.user_id]
        if state.narrative and state.narrative.as_of > narrative.as_of:
            return False
        self.users[narrative.user_id] = replace(state, narrative=narrative)
        return True


class LocalVerbalizer:
    """Counting, with the client's face; holds its answers back until it is let go."""

    def __init__(self):
        self.author = AUTHOR
        self.asked = []
        self.failures = []  # raised first, one a call
        self.go = asyncio.Event()
        self.go.set()

    async def write(self, history, *, timeout_s):
        self.asked.append(history.user_id)
        await self.go.wait()
        if self.failures:
            raise self.failures.pop(0)
        return Counting("saw").write([history])[0], self.author

    async def close(self):
        pass


def user(user_id, num_events, *, narrative=None):
    """A user with an event an hour; the n-th is of item n."""
    events = tuple(Event(f"i{hour}", START + timedelta(hours=hour), "play") for hour in range(1, num_events + 1))
    last = events[-1].event_time if events else None
    return UserState(user_id, num_events=num_events, last_event_time=last, recent_events=events, narrative=narrative)


def narrative(user_id, hours, *, verbalizer="w1"):
    return Narrative(user_id, "an old text", START + timedelta(hours=hours), verbalizer, "c1")


@asynccontextmanager
async def refreshing(*, after=4, interval_s=0.0, max_waiting=1000):
    """A running refresh, its store and Verbalizer, and what it counted."""
    store, verbalizer, counts = NarratedStore(Config()), LocalVerbalizer(), Counter()
    refresh = Refresh(
        store,
        verbalizer,
        after=after,
        count=lambda outcome: counts.update([outcome]),
        interval_s=interval_s,
        max_waiting=max_waiting,
    )
    refresh.start()
    try:
        yield refresh, store, verbalizer, counts
    finally:
        await refresh.close()


def test_offer_stale_narrative_is_written_from_the_recent_events():
    async def case():
        async with refreshing() as (refresh, store, _, counts):
            store.users["ann"] = user("ann", 6, narrative=narrative("ann", 2))  # events of hours 3 to 6 are newer
            refresh.offer(store.users["ann"])
            await until(lambda: counts["written"])
            written = store.users["ann"].narrative
            assert written == Narrative("ann", "saw 6 events, the last of i6", START + timedelta(hours=6), "w1", "c1")
            assert num_newer(store.users["ann"]) == 0

    asyncio.run(case())


@pytest.mark.parametrize(
    ("state", "after", "waits"),
    [
        (user("ann", 6, narrative=narrative("ann", 2)), 4, 1),
        (user("ann", 6, narrative=narrative("ann", 3)), 4, 0),  # three newer ones are not enough
        (user("ann", 4), 4, 1),  # nobody wrote about this user yet
        (user("ann", 3), 4, 0),
        (user("ann", 6), 0, 0),  # 0: never
        (user("ann", 0), 1, 0),  # there is nothing to write about
    ],
)
def test_offer_only_what_lacks_enough_events_waits(state, after, waits):
    refresh = Refresh(NarratedStore(Config()), LocalVerbalizer(), after=after, count=lambda _: None)
    refresh.offer(state)
    refresh.offer(state)  # once is enough
    assert refresh.num_waiting == waits


def test_offer_without_a_verbalizer_nothing_waits():
    refresh = Refresh(NarratedStore(Config()), None, after=1, count=lambda _: None)
    refresh.offer(user("ann", 6))
    assert refresh.num_waiting == 0
    asyncio.run(refresh.close())


def test_offer_beyond_the_bound_is_dropped_and_counted():
    counts = Counter()
    refresh = Refresh(
        NarratedStore(Config()), LocalVerbalizer(), after=1, count=lambda one: counts.update([one]), max_waiting=2
    )
    for user_id in ("ann", "bob", "carol", "dave"):
        refresh.offer(user(user_id, 1))
    assert (refresh.num_waiting, counts) == (2, {"dropped": 2})


def test_run_takes_the_oldest_first_and_one_at_a_time():
    async def case():
        async with refreshing(after=1) as (refresh, store, verbalizer, counts):
            verbalizer.go.clear()
            for user_id in ("carol", "ann", "bob"):
                store.users[user_id] = user(user_id, 1)
                refresh.offer(store.users[user_id])
            await until(lambda: verbalizer.asked)
            assert (verbalizer.asked, refresh.num_waiting) == (["carol"], 2)
            verbalizer.go.set()
            await until(lambda: counts["written"] == 3)
            assert verbalizer.asked == ["carol", "ann", "bob"]

    asyncio.run(case())


def test_run_rests_after_a_text():
    async def case():
        async with refreshing(after=1, interval_s=3600) as (refresh, store, verbalizer, counts):
            for user_id in ("ann", "bob"):
                store.users[user_id] = user(user_id, 1)
                refresh.offer(store.users[user_id])
            await until(lambda: counts["written"])
            await asyncio.sleep(0.05)
            assert (verbalizer.asked, refresh.num_waiting) == (["ann"], 1)

    asyncio.run(case())


def test_run_reads_the_state_again_so_that_a_fresh_narrative_is_left_alone():
    async def case():
        async with refreshing() as (refresh, store, verbalizer, counts):
            store.users["ann"] = user("ann", 6, narrative=narrative("ann", 6))  # the batch was here
            refresh.offer(user("ann", 6))
            refresh.offer(user("gone", 6))
            await until(lambda: counts["needless"] == 2)
            assert (verbalizer.asked, store.users["ann"].narrative.text) == ([], "an old text")

    asyncio.run(case())


def test_run_later_narrative_is_not_overwritten():
    async def case():
        async with refreshing() as (refresh, store, verbalizer, counts):
            store.users["ann"] = user("ann", 6, narrative=narrative("ann", 2))
            verbalizer.go.clear()
            refresh.offer(store.users["ann"])
            await until(lambda: verbalizer.asked)
            later = narrative("ann", 9)
            store.users["ann"] = replace(store.users["ann"], narrative=later)
            verbalizer.go.set()
            await until(lambda: counts["outdated"])
            assert store.users["ann"].narrative == later

    asyncio.run(case())


def test_run_narrative_of_another_verbalizer_is_stale_whatever_it_covers():
    async def case():
        async with refreshing() as (refresh, store, verbalizer, counts):
            store.users["old"] = user("old", 1, narrative=narrative("old", 1, verbalizer="w0"))
            refresh.offer(store.users["old"])
            assert refresh.num_waiting == 0  # nobody has said yet who writes now
            store.users["ann"] = user("ann", 4)
            refresh.offer(store.users["ann"])
            await until(lambda: counts["written"] == 1)
            refresh.offer(store.users["ann"])
            refresh.offer(store.users["old"])
            await until(lambda: counts["written"] == 2)
            assert verbalizer.asked == ["ann", "old"]
            assert store.users["old"].narrative.verbalizer_version == "w1"

    asyncio.run(case())


@pytest.mark.parametrize("failure", [ServingError("verbalizer failed"), RuntimeError("whatever else")])
def test_run_failure_is_counted_and_tried_again(failure):
    async def case():
        async with refreshing(after=1) as (refresh, store, verbalizer, counts):
            verbalizer.failures = [failure]
            store.users["ann"] = user("ann", 1)
            refresh.offer(store.users["ann"])
            await until(lambda: counts["written"])
            assert counts == {"failed": 1, "written": 1}

    asyncio.run(case())


def test_run_store_down_is_a_failure_too():
    async def case():
        async with refreshing(after=1) as (refresh, store, _, counts):
            store.users["ann"] = user("ann", 1)
            store.failure = ServingError("the online store did not answer")
            refresh.offer(store.users["ann"])
            await until(lambda: counts["failed"])
            store.failure = None
            refresh.offer(store.users["ann"])  # it may have been given up by now
            await until(lambda: counts["written"])

    asyncio.run(case())


def test_run_user_whose_text_always_fails_is_dropped_and_holds_up_nobody():
    async def case():
        async with refreshing(after=1) as (refresh, store, verbalizer, counts):

            async def write(history, *, timeout_s):
                verbalizer.asked.append(history.user_id)
                if history.user_id == "odd":
                    raise ServingError("this history cannot be told")
                return "a text", AUTHOR

            verbalizer.write = write
            for user_id in ("odd", "ann"):
                store.users[user_id] = user(user_id, 1)
                refresh.offer(store.users[user_id])
            await until(lambda: counts["dropped"])
            assert counts == {"failed": MAX_ATTEMPTS, "written": 1, "dropped": 1}
            assert verbalizer.asked == ["odd", "ann", "odd", "odd"]

    asyncio.run(case())


def test_run_failures_in_a_row_double_the_pause(monkeypatch):
    pauses, sleep = [], asyncio.sleep

    async def remember(pause_s):
        pauses.append(pause_s)
        await sleep(0)

    monkeypatch.setattr("serving.path.refresh.asyncio.sleep", remember)

    async def case():
        async with refreshing(after=1, interval_s=1.0) as (refresh, store, verbalizer, counts):
            verbalizer.failures = [ServingError("down")] * 8
            for user_id in ("ann", "bob", "carol"):
                store.users[user_id] = user(user_id, 1)
                refresh.offer(store.users[user_id])
            async with asyncio.timeout(30):
                while not counts["written"]:
                    await sleep(0.005)

    asyncio.run(case())
    assert pauses[:9] == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0, 1.0]


def test_run_clock_of_a_client_that_runs_ahead_hides_no_later_event():
    """Five minutes are allowed; a narrative must not claim them, or what comes until then would stay unread."""

    async def case():
        async with refreshing(after=1) as (refresh, store, _, counts):
            ahead = Event("i1", datetime.now(UTC) + timedelta(minutes=4), "play")
            store.users["ann"] = UserState("ann", num_events=1, recent_events=(ahead,))
            refresh.offer(store.users["ann"])
            await until(lambda: counts["written"])
            next_event = Event("i2", datetime.now(UTC), "play")
            assert store.users["ann"].narrative.as_of < next_event.event_time

    asyncio.run(case())


@pytest.mark.parametrize("num_events", [0, 1, 3, 4, 9])
def test_recent_events_are_the_history_that_the_narrate_step_reads(num_events):
    """Of a short log all of it, of a long one the newest `text.max_events`, here 4; two events share an instant."""
    config = Config.model_validate({"text": {"max_events": 4}})
    hours = [0, 1, 2, 2, 3, 5, 5, 7, 8][:num_events]
    rows = [
        ("ann", f"i{1 + number % 4}", START + timedelta(hours=hour), "play", 0.1 * number, f"s{hour}",
         [{"key": "device", "value": "tv"}][: number % 2], number, True)
        for number, hour in enumerate(hours)
    ]  # fmt: skip
    rows.append(("bob", "i1", START + timedelta(days=9), "play", None, None, [], 0, True))
    events = pl.DataFrame(rows, schema=EVENTS, orient="row")
    keys = pl.DataFrame({"user_id": ["ann"], "position": [num_events]}, schema={"user_id": str, "position": pl.Int64})
    [read_by_batch] = history_before(events, keys, config.text.max_events)

    split = pl.DataFrame(schema={"user_id": str, "position": pl.Int64, "event_time": pl.Datetime("us", "UTC")})
    table = user_features(events, catalogue(), user_keys(events, split), rules=Rules.of(config))
    found = [row for row in table.iter_rows(named=True) if row["user_id"] == "ann"]
    read_online = row_state(found[-1]).recent_events if found else ()
    assert read_online == read_by_batch.events
    assert len(read_online) == min(4, num_events)
