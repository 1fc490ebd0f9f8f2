from collections.abc import Callable

import polars as pl
import pytest

from raconteur import columns
from raconteur.data.splits import order_events
from raconteur.data.takes import take_sequences, takes_before


@pytest.fixture
def events(make_events: Callable) -> pl.DataFrame:
    """u takes a, b, searches b, takes b and a; v only looks; w takes c."""
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "b", 3, "search", None), ("u", "b", 4), ("u", "a", 5)]
    rows += [("v", "a", 1, "search", None), ("w", "c", 1)]
    return order_events(make_events(rows), targets=["play"], min_value=None)


def test_takes_before_repeats_in_a_row_are_one_and_later_takes_are_unknown(events: pl.DataFrame) -> None:
    keys = pl.DataFrame({columns.USER_ID: ["w", "u", "u", "u", "v", "x"], columns.POSITION: [1, 0, 4, 9, 1, 1]})
    assert takes_before(events, keys) == [["c"], [], ["a", "b"], ["a", "b", "a"], [], []]


def test_take_sequences_are_one_a_user_in_the_order_of_the_log(events: pl.DataFrame) -> None:
    assert take_sequences(events) == [["a", "b", "a"], [], ["c"]]
