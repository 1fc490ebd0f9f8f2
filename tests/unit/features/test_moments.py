from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from raconteur.features.moments import with_moments, with_target_moments

START = datetime(2026, 1, 1, tzinfo=UTC)


def log(offsets_us: list[int]) -> pl.DataFrame:
    times = [START + timedelta(microseconds=offset) for offset in sorted(offsets_us)]
    frame = pl.DataFrame({"user_id": "u", "event_time": pl.Series(times, dtype=pl.Datetime("us", "UTC"))})
    return frame.with_columns(position=pl.int_range(pl.len()))


def offsets(events: pl.DataFrame) -> list[int]:
    return [(moment - START) // timedelta(microseconds=1) for moment in with_moments(events)["event_timestamp"]]


def test_moments_ties_are_spread_by_microseconds():
    assert offsets(log([0, 0, 0, 1, 50])) == [0, 1, 2, 3, 50]


def test_moments_users_do_not_touch_each_other():
    both = pl.concat([log([0, 0]), log([0]).with_columns(user_id=pl.lit("v"))])
    assert offsets(both) == [0, 1, 0]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_moments_any_times_are_strictly_increasing_and_never_early(times):
    moments = offsets(log(times))
    assert all(later > earlier for earlier, later in pairwise(moments))
    assert all(moment >= time for moment, time in zip(moments, sorted(times), strict=True))


def test_target_moments_of_a_split_match_their_events(events, split):
    targets = with_target_moments(split, events)
    gap = targets["event_timestamp"][1] - targets["event_timestamp"][0]
    assert targets["item_id"].to_list() == ["i2", "i4"]
    assert gap == timedelta(microseconds=1)
