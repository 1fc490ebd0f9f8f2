"""Turns rows of a log into the `History` records that a Verbalizer reads.

Called for training examples, evaluation and narration. A history ends strictly before its target: what the user did
at the target's position or later is never in it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from raconteur import columns
from raconteur.errors import DataError
from raconteur.types import Event, History

_START, _COUNT, _POSITION = "_start", "_count", "_position"


def history_before(events: pl.DataFrame, keys: pl.DataFrame, max_events: int | None = None) -> list[History]:
    """The newest events of each user before a position, oldest first, one History per key in the keys' order.

    Args:
        events: prepared events, sorted by user_id, position.
        keys: user_id and position; a position beyond the history means all of it, an unknown user an empty one.
        max_events: at most this many, the newest; None: all.

    Raises:
        DataError: `keys` has other columns, or `events` is not sorted as prepared.
    """
    _check_columns(keys)
    spans = keys.select(columns.USER_ID, pl.col(columns.POSITION).alias(_POSITION)).join(
        _user_spans(events), on=columns.USER_ID, how="left", maintain_order="left"
    )
    ends = np.minimum(spans[_POSITION].fill_null(0).to_numpy(), spans[_COUNT].fill_null(0).to_numpy()).clip(min=0)
    begins = np.zeros_like(ends) if max_events is None else np.maximum(ends - max_events, 0)
    starts = spans[_START].fill_null(0).to_numpy()
    return _build(events, spans[columns.USER_ID].to_list(), starts + begins, starts + ends)


def to_events(rows: pl.DataFrame) -> list[Event]:
    """One record per row, in the rows' order."""
    return [
        Event(item_id, event_time, event_type, value, session_id, context)
        for item_id, event_time, event_type, value, session_id, context in zip(
            rows[columns.ITEM_ID].to_list(),
            rows[columns.EVENT_TIME].to_list(),
            rows[columns.EVENT_TYPE].to_list(),
            rows[columns.VALUE].to_list(),
            rows[columns.SESSION_ID].to_list(),
            _contexts(rows[columns.CONTEXT]),
            strict=True,
        )
    ]


def _check_columns(keys: pl.DataFrame) -> None:
    missing = {columns.USER_ID, columns.POSITION} - set(keys.columns)
    if missing:
        raise DataError(f"keys of histories lack {', '.join(sorted(missing))}; they have {', '.join(keys.columns)}")


def _user_spans(events: pl.DataFrame) -> pl.DataFrame:
    """First row and number of rows of each user."""
    spans = (
        events.select(columns.USER_ID, columns.POSITION)
        .with_row_index(_START)
        .group_by(columns.USER_ID, maintain_order=True)
        .agg(
            pl.col(_START).first().cast(pl.Int64),
            pl.len().cast(pl.Int64).alias(_COUNT),
            (pl.col(columns.POSITION) == pl.int_range(pl.len())).all().alias("contiguous"),
            (pl.col(_START).last() - pl.col(_START).first() + 1 == pl.len()).alias("together"),
        )
    )
    broken = spans.filter(~(pl.col("contiguous") & pl.col("together")))
    if broken.height:
        raise DataError(
            f"events of user {broken[columns.USER_ID][0]} are not rows 0, 1, 2 ... by position; "
            "pass the whole prepared log, sorted by user_id, position"
        )
    return spans.drop("contiguous", "together")


def _build(events: pl.DataFrame, user_ids: Sequence[str], begins: np.ndarray, ends: np.ndarray) -> list[History]:
    """Every row that any history needs becomes one Event, shared by all histories that hold it."""
    needed = np.zeros(events.height + 1, dtype=np.int64)
    np.add.at(needed, begins, 1)
    np.add.at(needed, ends, -1)
    is_needed = np.cumsum(needed)[:-1] > 0
    place = np.concatenate([[0], np.cumsum(is_needed)])  # row of the log -> index among the needed rows
    records = to_events(events.filter(pl.Series(is_needed)))
    return [
        History(user_id, tuple(records[begin:end]))
        for user_id, begin, end in zip(user_ids, place[begins].tolist(), place[ends].tolist(), strict=True)
    ]


def _contexts(contexts: pl.Series) -> list[Mapping[str, str]]:
    """Dictionaries from `List(Struct(key, value))`, by way of flat lists: a Python struct a pair is far slower."""
    found: list[Mapping[str, str]] = [{} for _ in range(len(contexts))]
    lengths = contexts.list.len().fill_null(0)
    filled = (lengths > 0).arg_true()
    if filled.is_empty():
        return found
    pairs = contexts.gather(filled).explode().struct
    keys, values = pairs.field("key").to_list(), pairs.field("value").to_list()
    begin = 0
    for row, length in zip(filled.to_list(), lengths.gather(filled).to_list(), strict=True):
        found[row] = dict(zip(keys[begin : begin + length], values[begin : begin + length], strict=True))
        begin += length
    return found
