from datetime import timedelta

import polars as pl

from raconteur.features.item import item_features, snapshot_times


def test_snapshot_times_cut_the_log_evenly_and_end_after_it(events):
    times = snapshot_times(events, num_snapshots=3)
    assert len(times) == 3
    assert times[-1] == events["event_time"].max() + timedelta(microseconds=1)
    assert times[1] - times[0] == times[2] - times[1]


def test_snapshot_times_log_of_one_moment_has_distinct_times(events):
    times = snapshot_times(events.head(1), num_snapshots=3)
    assert len(times) == len(set(times))
    assert times[-1] > events["event_time"][0]


def test_item_features_now_are_hand_worked(events, items):
    now = snapshot_times(events, num_snapshots=1)
    row = {row["item_id"]: row for row in item_features(events, items, times=now).to_dicts()}
    assert (row["i1"]["num_events"], row["i1"]["num_targets"]) == (3, 2)
    assert (row["i2"]["num_events"], row["i2"]["num_targets"]) == (2, 1)
    assert (row["i3"]["num_events"], row["i3"]["num_targets"], row["i3"]["available"]) == (1, 0, False)
    assert row["i1"]["released"] == "2020-05-01"


def test_item_features_earlier_time_excludes_its_own_instant(events, items):
    second = events["event_time"][1]  # hour 1
    row = item_features(events, items, times=[second]).filter(pl.col("item_id").is_in(["i1", "i2"]))
    assert row["num_events"].to_list() == [1, 0]


def test_item_features_recent_counts_only_the_last_days(events, items):
    week_later = events["event_time"][0] + timedelta(days=7, hours=1)  # the first take is a week and an hour old
    row = item_features(events, items, times=[week_later]).filter(pl.col("item_id") == "i1").to_dicts()[0]
    assert (row["num_targets"], row["num_recent_targets"]) == (2, 1)
