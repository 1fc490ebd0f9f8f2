from collections.abc import Callable

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from raconteur import columns
from raconteur.data.dataset import RAW_EVENTS, SPLIT
from raconteur.data.splits import count_late, leave_one_out, order_events, training_events

SHORT = [columns.SPLIT, columns.ITEM_ID, columns.POSITION, columns.DISCOVERY, "num_targets"]


def ordered(events: pl.DataFrame, min_value: float | None = None) -> pl.DataFrame:
    return order_events(events, targets=["play"], min_value=min_value)


def test_order_events_ties_keep_the_order_of_the_file(make_events: Callable) -> None:
    rows = [("v", "x", 9), ("u", "c", 5), ("u", "b", 3), ("u", "a", 5), ("u", "z", 3)]
    events = ordered(make_events(rows))
    assert events[columns.ITEM_ID].to_list() == ["b", "z", "c", "a", "x"]
    assert events[columns.POSITION].to_list() == [0, 1, 2, 3, 0]


def test_order_events_target_needs_type_and_value(make_events: Callable) -> None:
    rows = [
        ("u", "a", 1, "play", 30.0),
        ("u", "b", 2, "play", 1.9),
        ("u", "c", 3, "play", None),
        ("u", "d", 4, "search", 30.0),
        ("u", "e", 5, "play", 2.0),
    ]
    assert ordered(make_events(rows), 2.0)[columns.IS_TARGET].to_list() == [True, False, False, False, True]
    assert ordered(make_events(rows))[columns.IS_TARGET].to_list() == [True, True, True, False, True]


def test_count_late_counts_rows_behind_a_later_event_of_their_user(make_events: Callable) -> None:
    rows = [("u", "a", 5), ("v", "b", 1), ("u", "c", 4), ("u", "d", 5), ("u", "e", 3), ("v", "f", 2)]
    assert count_late(make_events(rows)) == 2


def test_leave_one_out_last_target_is_test_and_the_one_before_validation(make_events: Callable) -> None:
    rows = [
        ("u", "a", 1, "play", None),
        ("u", "s", 2, "search", None),
        ("u", "b", 3, "play", None),
        ("u", "c", 4, "impression", None),
        ("u", "c", 5, "play", None),
        ("u", "d", 6, "search", None),
    ]
    split = leave_one_out(ordered(make_events(rows)))
    # b was never touched before; c was shown to the user at position 3, so it is no discovery.
    assert split.select(SHORT).rows() == [("validation", "b", 2, True, 1), ("test", "c", 4, False, 2)]
    assert split.schema == SPLIT


def test_leave_one_out_repeated_item_is_no_discovery(make_events: Callable) -> None:
    split = leave_one_out(ordered(make_events([("u", "a", 1), ("u", "b", 2), ("u", "a", 3)])))
    assert split[columns.DISCOVERY].to_list() == [True, False]


def test_leave_one_out_user_with_two_targets_has_no_row(make_events: Callable) -> None:
    assert leave_one_out(ordered(make_events([("u", "a", 1), ("u", "b", 2)]))).is_empty()


def test_leave_one_out_discovery_only_skips_repeats_and_touched_items(make_events: Callable) -> None:
    rows = [
        ("u", "a", 1, "play", None),
        ("u", "b", 2, "play", None),
        ("u", "a", 3, "play", None),
        ("u", "s", 4, "impression", None),
        ("u", "c", 5, "play", None),
        ("u", "s", 6, "play", None),
        ("u", "b", 7, "play", None),
    ]
    events = ordered(make_events(rows))
    split = leave_one_out(events, discovery_only=True)
    # First takes: a, b, c. The play of s is none, since s was shown before; a and b at the end are repeats.
    # c stands at position 4 behind three takes (a, b, a), b at position 1 behind one.
    assert split.select(SHORT).rows() == [("validation", "b", 1, True, 1), ("test", "c", 4, True, 3)]
    assert training_events(events, split)[columns.ITEM_ID].to_list() == ["a"]


def test_leave_one_out_discovery_only_needs_three_first_takes(make_events: Callable) -> None:
    rows = [("u", item, second) for second, item in enumerate("abab")]
    assert leave_one_out(ordered(make_events(rows)), discovery_only=True).is_empty()
    assert leave_one_out(ordered(make_events(rows))).height == 2


def test_training_events_stop_before_the_validation_target(make_events: Callable) -> None:
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("v", "d", 1), ("v", "e", 2)]
    events = ordered(make_events(rows))
    # v has no validation target: all of its events are for training.
    assert training_events(events, leave_one_out(events))[columns.ITEM_ID].to_list() == ["a", "d", "e"]


def test_training_events_before_the_test_hold_the_validation_take(make_events: Callable) -> None:
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("v", "d", 1), ("v", "e", 2)]
    events = ordered(make_events(rows))
    found = training_events(events, leave_one_out(events), before="test")
    assert found[columns.ITEM_ID].to_list() == ["a", "b", "d", "e"]


rows_of_a_log = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 5), st.sampled_from(["play", "search"])),
    max_size=30,
)


@settings(max_examples=50)
@given(rows=rows_of_a_log)
def test_leave_one_out_training_never_sees_a_target(rows: list[tuple]) -> None:
    frame = pl.DataFrame(
        {
            columns.USER_ID: [row[0] for row in rows],
            columns.ITEM_ID: [row[1] for row in rows],
            columns.EVENT_TIME: pl.Series([row[2] for row in rows], dtype=pl.Int64).cast(
                RAW_EVENTS[columns.EVENT_TIME]
            ),
            columns.EVENT_TYPE: [row[3] for row in rows],
            columns.VALUE: [None] * len(rows),
        },
        schema_overrides={columns.USER_ID: pl.String, columns.ITEM_ID: pl.String, columns.EVENT_TYPE: pl.String},
    )
    events = ordered(frame)
    split = leave_one_out(events)
    targets = events.filter(columns.IS_TARGET).group_by(columns.USER_ID).len()
    assert split.height == 2 * targets.filter(pl.col("len") >= 3).height
    joined = training_events(events, split).join(split, on=columns.USER_ID, suffix="_target")
    assert (joined[columns.POSITION] < joined["position_target"]).all()
    assert (joined[columns.EVENT_TIME] <= joined["event_time_target"]).all()


@settings(max_examples=50)
@given(items=st.lists(st.sampled_from("abcde"), max_size=12))
def test_leave_one_out_discovery_only_targets_are_the_last_two_distinct_items(items: list[str]) -> None:
    frame = pl.DataFrame(
        {
            columns.USER_ID: ["u"] * len(items),
            columns.ITEM_ID: items,
            columns.EVENT_TIME: pl.Series(range(len(items)), dtype=pl.Int64).cast(RAW_EVENTS[columns.EVENT_TIME]),
            columns.EVENT_TYPE: ["play"] * len(items),
            columns.VALUE: [None] * len(items),
        },
        schema_overrides={columns.USER_ID: pl.String, columns.ITEM_ID: pl.String, columns.EVENT_TYPE: pl.String},
    )
    split = leave_one_out(ordered(frame), discovery_only=True)
    distinct = list(dict.fromkeys(items))
    assert split[columns.ITEM_ID].to_list() == (distinct[-2:] if len(distinct) >= 3 else [])
    assert split["num_targets"].to_list() == split[columns.POSITION].to_list()  # every event is a take
