from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, advance, row_state, state_row, with_narrative
from raconteur.features.user import user_features
from raconteur.types import Event

START = datetime(2026, 1, 1, tzinfo=UTC)
CATEGORIES = {"i1": ["drama"], "i2": ["comedy", "drama"], "i3": []}
RULES = Rules(targets=("play",), min_value=10.0, num_recent_items=3, num_recent_events=4)
CONTEXT = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))

# Times strictly increase: the log's exact repeats are the business of the prepare step.
steps = st.tuples(
    st.sampled_from(sorted(CATEGORIES)),
    st.integers(1, 10**12),
    st.sampled_from(["play", "impression", "trailer"]),
    st.none() | st.integers(0, 99).map(float),
    st.none() | st.text(max_size=4),
    st.dictionaries(st.sampled_from(["device", "reason"]), st.text(max_size=4)),
)


def to_events(drawn: list[tuple]) -> list[Event]:
    time, events = START, []
    for item, gap, kind, value, session, context in drawn:
        time += timedelta(microseconds=gap)
        events.append(Event(item, time, kind, value, session, context))
    return events


def batch_row(events: list[Event]) -> dict:
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * len(events),
            "item_id": [event.item_id for event in events],
            "event_time": pl.Series([event.event_time for event in events], dtype=pl.Datetime("us", "UTC")),
            "event_type": [event.event_type for event in events],
            "value": pl.Series([event.value for event in events], dtype=pl.Float64),
            "session_id": pl.Series([event.session_id for event in events], dtype=pl.String),
            "context": pl.Series(
                [[{"key": key, "value": value} for key, value in event.context.items()] for event in events],
                dtype=CONTEXT,
            ),
            "position": range(len(events)),
            "is_target": [RULES.takes(event.event_type, event.value) for event in events],
        }
    )
    items = pl.DataFrame({"item_id": list(CATEGORIES), "categories": list(CATEGORIES.values())})
    keys = pl.DataFrame({"user_id": ["u"], "event_timestamp": frame["event_time"][-1:], "before": [len(events)]})
    return user_features(frame, items, keys, rules=RULES).to_dicts()[0]


@given(st.lists(steps, min_size=1, max_size=9), st.integers(0, 9))
def test_state_batch_row_and_online_steps_agree(drawn, cut):
    events = to_events(drawn)
    cut = min(cut, len(events) - 1)
    before = row_state(batch_row(events[:cut])) if cut else UserState("u")
    after = advance(before, events[cut:], categories=CATEGORIES, rules=RULES)
    batch = batch_row(events)
    assert after == row_state(batch)
    online = state_row(after)
    derived = ("num_items", "mean_value", "share_short", "days_since_last", "top_categories")
    assert {name: online[name] for name in derived} == {name: batch[name] for name in derived}


def test_advance_repeat_of_an_event_changes_nothing():
    event = Event("i1", START, "play", 30.0)
    once = advance(UserState("u"), [event], categories=CATEGORIES, rules=RULES)
    assert advance(once, [event, event], categories=CATEGORIES, rules=RULES) == once


def test_advance_late_event_is_counted_and_stands_by_its_time():
    late, first = Event("i2", START, "play", 30.0), Event("i1", START + timedelta(days=1), "play", 30.0)
    state = advance(UserState("u"), [first, late], categories=CATEGORIES, rules=RULES)
    assert [event.item_id for event in state.recent_events] == ["i2", "i1"]
    assert state.last_event_time == first.event_time
    assert state.num_targets == 2


def test_state_row_without_events_is_refused():
    with pytest.raises(DataError, match="no event yet"):
        state_row(UserState("u"))


def test_with_narrative_needs_text_and_time():
    row = {"text": "likes <item:i1>", "as_of_us": 5, "verbalizer_version": "v", "catalogue_version": "c"}
    told = with_narrative(UserState("u"), row)
    assert told.narrative is not None
    assert told.narrative.as_of == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=5)
    assert with_narrative(UserState("u"), {**row, "text": None}).narrative is None
