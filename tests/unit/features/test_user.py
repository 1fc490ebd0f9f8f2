import json
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from raconteur.features.rules import Rules
from raconteur.features.user import user_features, user_keys

EPOCH_US = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC
HOUR_US = 3_600_000_000


@pytest.fixture
def rows(events, items, split, rules) -> list[dict]:
    return user_features(events, items, user_keys(events, split), rules=rules).to_dicts()


def test_user_keys_have_each_target_and_now(events, split):
    keys = user_keys(events, split)
    assert keys["user_id"].to_list() == ["ann", "ann", "ann", "bob"]
    assert keys["before"].to_list() == [3, 4, 6, 1]
    assert keys["event_timestamp"][2] == keys["event_timestamp"][3]  # one now for all
    assert keys["event_timestamp"][2] == events["event_time"].max() + timedelta(microseconds=1)


def test_user_features_before_validation_are_hand_worked(rows):
    row = rows[0]
    assert row["num_events"] == 3
    assert (row["num_targets"], row["num_tries"], row["share_short"]) == (1, 2, 0.5)
    assert (row["num_values"], row["value_total"], row["mean_value"]) == (1, 60.0, 60.0)
    assert row["num_items"] == 3
    assert row["last_event_us"] == EPOCH_US + 2 * HOUR_US
    assert row["days_since_last"] == pytest.approx(22 / 24)
    assert row["category_names"] == ["drama"]
    assert row["recent_items"] == ["i1"]
    assert row["seen_items"] == ["i1", "i2", "i3"]


def test_user_features_before_test_include_the_tied_validation_target_only(rows):
    row = rows[1]
    assert row["num_targets"] == 2
    assert row["mean_value"] == 45.0
    assert (row["category_names"], row["category_counts"]) == (["drama", "comedy"], [2, 1])
    assert row["recent_items"] == ["i1", "i2"]
    assert "i4" not in row["seen_items"]


def test_user_features_now_keep_the_newest_only(rows):
    row = rows[2]
    lines = [json.loads(line) for line in row["recent_events"].split("\n")]
    assert row["recent_items"] == ["i2", "i4"]
    assert [line["item_id"] for line in lines] == ["i2", "i4", "i1"]
    assert lines[0]["event_time"] == "2026-01-02T00:00:00.000000+00:00"
    assert row["num_events"] == 6


def test_user_features_without_events_are_zero_not_missing(events, items, rules):
    keys = pl.DataFrame({"user_id": ["new"], "event_timestamp": [datetime(2026, 2, 1)], "before": [0]})
    row = user_features(events, items, keys, rules=rules).to_dicts()[0]
    assert (row["num_events"], row["seen_items"], row["recent_events"]) == (0, [], "")
    assert (row["mean_value"], row["share_short"], row["days_since_last"]) == (None, None, None)


changes = st.lists(
    st.tuples(st.sampled_from(["i1", "i2", "i3", "i4"]), st.sampled_from(["play", "impression"]), st.floats(0, 99)),
    min_size=6,
    max_size=6,
)


@given(changes=changes, before=st.integers(0, 6))
def test_user_features_change_of_later_events_changes_nothing(events, items, rules, changes, before):
    ann = events.filter(pl.col("user_id") == "ann")
    later = pl.col("position") >= before
    other = ann.with_columns(
        item_id=pl.when(later).then(pl.Series([item for item, _, _ in changes])).otherwise("item_id"),
        event_type=pl.when(later).then(pl.Series([kind for _, kind, _ in changes])).otherwise("event_type"),
        value=pl.when(later).then(pl.Series([value for _, _, value in changes])).otherwise("value"),
        is_target=pl.when(later).then(pl.lit(True)).otherwise("is_target"),
    )
    keys = pl.DataFrame({"user_id": ["ann"], "event_timestamp": [events["event_time"].max()], "before": [before]})
    expected, got = (user_features(log, items, keys, rules=rules) for log in (ann, other))
    assert_frame_equal(expected, got)


def test_user_features_without_minimum_count_a_take_without_a_value(items):
    from datetime import UTC

    free = Rules(targets=("play",), min_value=None, num_recent_items=2, num_recent_events=2)
    log = pl.DataFrame(
        {
            "user_id": ["u"],
            "item_id": ["i1"],
            "event_time": pl.Series([datetime(2026, 1, 1, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC")),
            "event_type": ["play"],
            "value": pl.Series([None], dtype=pl.Float64),
            "session_id": pl.Series([None], dtype=pl.String),
            "context": pl.Series([None], dtype=pl.List(pl.Struct({"key": pl.String, "value": pl.String}))),
            "position": [0],
            "is_target": [True],
        }
    )
    keys = pl.DataFrame({"user_id": ["u"], "event_timestamp": log["event_time"], "before": [1]})
    row = user_features(log, items, keys, rules=free).to_dicts()[0]
    assert (row["num_targets"], row["num_values"], row["mean_value"], row["share_short"]) == (1, 0, None, 0.0)
