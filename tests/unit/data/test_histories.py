from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raconteur import columns
from raconteur.data.dataset import STRING_MAP
from raconteur.data.histories import history_before
from raconteur.data.splits import order_events
from raconteur.errors import DataError
from raconteur.types import History


def keys(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={columns.USER_ID: pl.String, columns.POSITION: pl.Int64}, orient="row")


def items_of(history: History) -> list[str]:
    return [event.item_id for event in history.events]


@pytest.fixture
def events(make_events: Callable) -> pl.DataFrame:
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("v", "d", 1), ("w", "e", 1), ("w", "f", 2)]
    return order_events(make_events(rows), targets=["play"], min_value=None)


def test_history_before_ends_strictly_before_the_position(events: pl.DataFrame) -> None:
    histories = history_before(events, keys(("u", 2), ("u", 0), ("w", 1)))
    assert [(history.user_id, items_of(history)) for history in histories] == [
        ("u", ["a", "b"]),
        ("u", []),
        ("w", ["e"]),
    ]


def test_history_before_keeps_the_newest_events_oldest_first(events: pl.DataFrame) -> None:
    assert items_of(history_before(events, keys(("u", 3)), max_events=2)[0]) == ["b", "c"]


def test_history_before_position_beyond_the_end_means_all(events: pl.DataFrame) -> None:
    assert items_of(history_before(events, keys(("w", 99)))[0]) == ["e", "f"]


def test_history_before_unknown_user_has_an_empty_history(events: pl.DataFrame) -> None:
    assert history_before(events, keys(("nobody", 3), ("v", 1)))[0] == History("nobody", ())


def test_history_before_answers_in_the_order_of_the_keys_with_repeats(events: pl.DataFrame) -> None:
    histories = history_before(events, keys(("w", 2), ("u", 1), ("w", 2)))
    assert [items_of(history) for history in histories] == [["e", "f"], ["a"], ["e", "f"]]


def test_history_before_no_keys_gives_no_histories(events: pl.DataFrame) -> None:
    assert history_before(events, keys()) == []


def test_history_before_contexts_become_mappings(events: pl.DataFrame) -> None:
    contexts = [
        None,
        [{"key": "device", "value": "tv"}, {"key": "country", "value": "UK"}],
        [],
        [],
        None,
        [{"key": "x", "value": "y"}],
    ]
    with_context = events.with_columns(pl.Series(columns.CONTEXT, contexts, dtype=STRING_MAP))
    history, last = history_before(with_context, keys(("u", 3), ("w", 2)))
    assert [event.context for event in history.events] == [{}, {"device": "tv", "country": "UK"}, {}]
    assert last.events[1].context == {"x": "y"}
    assert history.events[0].event_time.tzinfo is not None


def test_history_before_keys_without_position_are_refused(events: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="keys of histories lack position"):
        history_before(events, keys().drop(columns.POSITION))


def test_history_before_part_of_a_log_is_refused(events: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="events of user u are not rows 0, 1, 2"):
        history_before(events.filter(pl.col(columns.POSITION) != 1), keys(("u", 2)))
    with pytest.raises(DataError, match="pass the whole prepared log"):
        history_before(events.sort(columns.POSITION, maintain_order=True), keys(("u", 2)))


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    picks=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=8),
    max_events=st.one_of(st.none(), st.integers(1, 4)),
)
def test_history_before_agrees_with_slicing_each_users_list(
    lengths: list[int], picks: list[tuple[int, int]], max_events: int | None
) -> None:
    users = {f"u{user}": [f"i{user}-{place}" for place in range(length)] for user, length in enumerate(lengths)}
    frame = pl.DataFrame(
        [(user, item, place) for user, items in users.items() for place, item in enumerate(items)],
        schema={columns.USER_ID: pl.String, columns.ITEM_ID: pl.String, columns.POSITION: pl.Int64},
        orient="row",
    ).with_columns(
        pl.lit(0, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")).alias(columns.EVENT_TIME),
        pl.lit("play").alias(columns.EVENT_TYPE),
        pl.lit(None, dtype=pl.Float64).alias(columns.VALUE),
        pl.lit(None, dtype=pl.String).alias(columns.SESSION_ID),
        pl.lit(None, dtype=STRING_MAP).alias(columns.CONTEXT),
    )
    asked = [(f"u{user}", position) for user, position in picks]
    found = [items_of(history) for history in history_before(frame, keys(*asked), max_events)]
    wanted = [users.get(user, [])[:position] for user, position in asked]
    assert found == [items[-max_events:] if max_events else items for items in wanted]
