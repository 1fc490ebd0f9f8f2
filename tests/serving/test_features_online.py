"""Freshness over a real Feast store: what the next answer shows of events, on time, late, sent twice, odd or skewed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import local_service
import pytest
from local_service import open_local
from serving_world import START, TITLES, write_version
from store_world import write_store

from raconteur.features.state import EPOCH
from raconteur.types import Event, Narrative
from serving.narration import Author
from serving.path.features import OnlineFeatures
from serving.path.refresh import Refresh
from serving.schema import EventIn, EventsRequest, RecommendRequest

CATEGORIES = {item_id: ["film"] for item_id in TITLES}
NARRATED = START + timedelta(hours=12)  # what the narratives of the store's users cover


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feast") / "features"
    write_store(folder)
    return folder


@pytest.fixture(scope="module")
def online(store):
    return OnlineFeatures(store)


@pytest.fixture
def service(online, tmp_path, monkeypatch):
    """A whole service in this process whose feature store is the real one."""
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    monkeypatch.setattr(local_service, "MemoryStore", lambda _: online)
    service = open_local(tmp_path, cache_entries=100)[0]
    yield service
    asyncio.run(service.close())


def send(service, user_id, *events):
    return asyncio.run(service.learn(EventsRequest(user_id=user_id, events=list(events))))


def ask(service, user_id):
    return asyncio.run(service.recommend(RecommendRequest(user_id=user_id)))


def shown(served):
    return {candidate.item_id for candidate in served.ranking}


def take(item, *, minutes=0.0):
    return Event(item, NARRATED + timedelta(minutes=minutes), "play")


def sent(item, *, minutes=0.0):
    return EventIn(item_id=item, event_time=NARRATED + timedelta(minutes=minutes))


def test_next_answer_reflects_the_events(service):
    before = ask(service, "sure")
    assert (before.text, shown(before)) == ("court court", {"i2", "i3", "i4"})
    assert send(service, "sure", sent("i3", minutes=1)).features_updated
    after = ask(service, "sure")
    assert after.text == "court court 0d play <item:i3>"
    assert shown(after) == {"i2", "i4"}
    assert (after.num_events, after.cached) == (2, False)


def test_next_answer_of_a_user_nobody_knew_reflects_the_events(service):
    assert ask(service, "newcomer").route == "cold"
    send(service, "newcomer", sent("i1"))
    after = ask(service, "newcomer")
    assert (after.text, shown(after)) == ("0d play <item:i1>", {"i2", "i3", "i4"})


def test_event_sent_twice_changes_nothing(service):
    send(service, "torn", sent("i4", minutes=1))
    first = ask(service, "torn")
    send(service, "torn", sent("i4", minutes=1))
    assert (ask(service, "torn").text, ask(service, "torn").num_events) == (first.text, first.num_events) == (
        "drama 0d play <item:i4>",
        3,
    )  # fmt: skip


def test_event_sent_twice_without_a_time_counts_twice(service):
    """Its time is that of its arrival; a client that may retry sends a time, or a request id."""
    for _ in range(2):
        send(service, "retrying", EventIn(item_id="i1"))
    assert ask(service, "retrying").num_events == 2


def test_late_event_counts_at_once_and_waits_for_the_next_narrative_to_be_told(service, online):
    late = EventIn(item_id="i4", event_time=START)
    online.push_narrative(Narrative("fan", "space", NARRATED, "verbalizer-1", "catalogue-1"))
    send(service, "fan", late)
    served = ask(service, "fan")
    assert (served.num_events, served.text) == (3, "space")  # the narrative claims everything until its moment
    assert "i4" not in shown(served)
    state = online.read("fan")
    assert state.recent_items == ("i1", "i2", "i4")  # retrieval: in the order of arrival
    assert [event.item_id for event in state.recent_events] == ["i4", "i1", "i2"]  # Verbalizer: in that of time


def test_unknown_item_is_named_and_the_rest_is_taken(service):
    answer = send(service, "shy", sent("no-such-item"), sent("i1", minutes=1))
    assert (answer.accepted, answer.features_updated, answer.unknown_items) == (2, True, ["no-such-item"])
    served = ask(service, "shy")
    assert served.num_events == 2
    assert "no-such-item" not in served.text


def test_clock_that_runs_ahead_hides_nothing_that_comes_after(service):
    now = datetime.now(UTC)
    send(service, "skewed", EventIn(item_id="i1", event_time=now + timedelta(minutes=4)))
    send(service, "skewed", EventIn(item_id="i2", event_time=now))
    served = ask(service, "skewed")
    assert (served.num_events, served.text) == (2, "0d play <item:i2> 0d play <item:i1>")
    assert shown(served) == {"i3", "i4"}


def test_clock_of_another_age_is_kept_as_it_is(online):
    """A time of 1970 is no reason to lose an event: it is told first and counted."""
    state = online.push("ancient", [take("i1"), Event("i2", EPOCH, "play")], CATEGORIES)
    assert online.read("ancient") == state
    assert [event.item_id for event in state.recent_events] == ["i2", "i1"]
    assert state.last_event_time == NARRATED


def test_push_narrative_shows_in_the_next_read_and_keeps_the_state(online, store):
    before = online.push("told", [take("i1")], CATEGORIES)
    written = Narrative("told", "likes <item:i1>", NARRATED + timedelta(microseconds=1), "w1", "c1")
    assert online.push_narrative(written)
    read = OnlineFeatures(store).read("told")
    assert read.narrative == written  # to the microsecond, which Feast's own timestamps do not keep
    assert (read.num_events, read.recent_events) == (before.num_events, before.recent_events)


def test_push_narrative_older_than_the_stored_one_is_refused(online):
    online.push("guarded", [take("i1")], CATEGORIES)
    for moment, kept in ((5, True), (4, False), (5, True), (6, True)):
        text = Narrative("guarded", f"of minute {moment}", NARRATED + timedelta(minutes=moment), "w1", "c1")
        assert online.push_narrative(text) == kept
    assert online.read("guarded").narrative.text == "of minute 6"


def test_push_keeps_a_narrative_that_was_written_meanwhile(online):
    online.push("both", [take("i1")], CATEGORIES)
    online.push_narrative(Narrative("both", "a text", NARRATED, "w1", "c1"))
    online.push("both", [take("i2", minutes=1)], CATEGORIES)
    assert (online.read("both").narrative.text, online.read("both").num_events) == ("a text", 2)


def test_read_from_many_threads_never_sees_a_part_of_a_push(online):
    """The events of a push come in threes; a row that is half written would show another count than its lists."""
    done = threading.Event()

    def watch():
        seen = set()
        while not done.is_set():
            state = online.read("busy")
            if state is not None:
                seen.add((state.num_events, len(state.recent_events), state.last_event_time))
        return seen

    with ThreadPoolExecutor(4) as threads:
        watching = [threads.submit(watch) for _ in range(4)]
        try:
            for minute in range(0, 30, 3):
                online.push("busy", [take("i1", minutes=minute + one) for one in range(3)], CATEGORIES)
        finally:
            done.set()
        seen = set().union(*(one.result(timeout=60) for one in watching))
    assert seen <= {(count, count, take("i1", minutes=count - 1).event_time) for count in range(3, 31, 3)}
    assert seen


def test_refresh_writes_the_narrative_that_the_next_answer_reads(service, online):
    class Verbalizer:
        async def write(self, history, *, timeout_s):
            return f"took {len(history.events)} films", Author("v1", "w1", "c1")

        async def close(self):
            pass

    async def case():
        counts = []
        refresh = Refresh(online, Verbalizer(), after=4, count=counts.append, interval_s=0)
        refresh.start()
        try:
            state = online.push("reader", [take("i1", minutes=minute) for minute in range(1, 5)], CATEGORIES)
            refresh.offer(state)
            async with asyncio.timeout(30):
                while not counts:
                    await asyncio.sleep(0.01)
        finally:
            await refresh.close()
        return counts

    send(service, "reader", sent("i1"))
    assert ask(service, "reader").text == "0d play <item:i1>"
    assert asyncio.run(case()) == ["written"]
    send(service, "reader", sent("i2", minutes=9))
    served = ask(service, "reader")
    assert served.text == "took 5 films 0d play <item:i2>"
    assert served.narrative_version == "w1"
