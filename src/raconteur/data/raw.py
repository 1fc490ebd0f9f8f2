"""What every reader returns: the tables of a source under our column names, still as the source wrote them.

Readers rename and join; `contracts` parses, judges and puts bad rows away. So that nothing is lost before it is
judged, readers leave cells as text and pass on the lines that they could not even split (`malformed`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from raconteur.data.dataset import QUARANTINE

MALFORMED = "malformed line"
NO_CUSTOMER = "no customer"  # shops log walk-in sales without one
_ROW = "_row"
EXPECTED_REASONS = frozenset({NO_CUSTOMER})  # in the nature of a source; they do not count against max_quarantine


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a source writes time."""

    unit: Literal["s", "ms", "us", "text"] = "text"  # of numbers since 1970; "text" for calendar dates
    pattern: str | None = None  # chrono pattern of a text; None: ISO 8601
    zone: str = "UTC"  # of texts that carry no offset


@dataclass(frozen=True, slots=True)
class RawLog:
    """A source before any check.

    Attributes:
        events: `line, user_id, item_id, event_time, event_type`, and where the source has them `value, session_id,
            context` (`List(Struct(key, value))` or an Arrow map) and `reason`, by which a reader puts a row away
            itself. The order of rows is the file's order and breaks ties of time.
        items: `line, item_id` and any other column of the items' contract; None: derived from the events.
        users: `line, user_id` and perhaps `attributes`.
        malformed: `table, line, reason, row` of lines that do not split into the table's columns.
    """

    source: str
    value_unit: str | None  # of events.value: stars, minutes, pounds; None where there is no value
    events: pl.DataFrame
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    malformed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))
    time: TimeFormat = TimeFormat()


def string_map(frame: pl.DataFrame, cells: Mapping[str, str]) -> pl.Series:
    """A `List(Struct(key, value))` of columns as text, row by row, without empty cells; null where all are empty.

    Args:
        cells: key in the map -> column of the frame.
    """
    texts = frame.select(pl.col(column).cast(pl.String).alias(key) for key, column in cells.items()).with_row_index(
        _ROW
    )
    # Long form and back: lists of structs built side by side (concat_list) take five times as long.
    pairs = texts.unpivot(index=_ROW, variable_name="key", value_name="value").filter(
        pl.col("value").str.len_bytes() > 0
    )
    maps = pairs.group_by(_ROW).agg(pl.struct("key", "value").alias("map"))
    return texts.select(_ROW).join(maps, on=_ROW, how="left", maintain_order="left")["map"]
