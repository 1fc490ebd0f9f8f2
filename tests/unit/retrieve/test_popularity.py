from datetime import UTC, datetime

import pytest

from raconteur.errors import ConfigError, DataError
from raconteur.retrieve.popularity import Popularity, RecentPopularity

ITEMS = ["a", "b", "c"]


def _day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def test_popularity_fit_counts_every_take():
    model = Popularity.fit([["a", "b"], ["a", "a", "ghost"]], ITEMS)
    assert model.score([["c"]]).tolist() == [[3.0, 1.0, 0.0]]


def test_popularity_fit_empty_log_is_flat():
    assert Popularity.fit([], ITEMS).score([[]]).tolist() == [[0.0, 0.0, 0.0]]


def test_popularity_fit_repeated_item_in_catalogue_is_refused():
    with pytest.raises(DataError, match="names 3 items but only 2 are distinct"):
        Popularity.fit([], ["a", "b", "a"])


def test_popularity_fit_empty_catalogue_is_refused():
    with pytest.raises(DataError, match="catalogue has no items"):
        Popularity.fit([["a"]], [])


def test_recent_popularity_half_life_halves_per_period():
    # the newest event is day 11; a take on day 1 is ten days old: two half-lives of five days
    model = RecentPopularity.fit([["a", "b"], ["a"]], ITEMS, times=[[_day(1), _day(11)], [_day(6)]], days=5)
    assert model.score([[]]).tolist() == [[0.25 + 0.5, 1.0, 0.0]]


def test_recent_popularity_window_forgets_what_is_older():
    times = [[_day(1), _day(11)], [_day(7)]]
    model = RecentPopularity.fit([["a", "b"], ["a"]], ITEMS, times=times, days=5, fade="window")
    assert model.score([[]]).tolist() == [[1.0, 1.0, 0.0]]


def test_recent_popularity_empty_log_is_flat():
    assert RecentPopularity.fit([[]], ITEMS, times=[[]]).score([[]]).tolist() == [[0.0, 0.0, 0.0]]


def test_recent_popularity_times_of_other_length_are_refused():
    with pytest.raises(DataError, match="one time per item"):
        RecentPopularity.fit([["a", "b"]], ITEMS, times=[[_day(1)]])


def test_recent_popularity_no_days_are_refused():
    with pytest.raises(ConfigError, match="positive number of days"):
        RecentPopularity.fit([["a"]], ITEMS, times=[[_day(1)]], days=0)
