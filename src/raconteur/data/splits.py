"""Leave-one-out targets, and the part of the log that training may see.

The last target of a user is the test, the one before the validation; a user needs three targets. A model may see, for a
target at a position, only the user's events with a smaller position.
"""

from collections.abc import Collection

import polars as pl

from raconteur import columns
from raconteur.data.dataset import SPLIT

VALIDATION, TEST = "validation", "test"
MIN_TARGETS = 3  # one of them must be left to learn from
_FROM_LAST = "from_last"  # 1 for the last target of a user, 2 for the one before


def order_events(events: pl.DataFrame, *, targets: Collection[str], min_value: float | None) -> pl.DataFrame:
    """Sorts by user and time, ties in the file's order, and adds `position` and `is_target`.

    Args:
        events: good events in the order of the source.
        targets: event types by which a user takes an item.
        min_value: what a target is worth at least; a target event without a value is then none.
    """
    is_target = pl.col(columns.EVENT_TYPE).is_in(list(targets))
    if min_value is not None:
        is_target &= pl.col(columns.VALUE).fill_null(float("-inf")) >= min_value
    return events.sort(columns.USER_ID, columns.EVENT_TIME, maintain_order=True).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over(columns.USER_ID).alias(columns.POSITION),
        is_target.alias(columns.IS_TARGET),
    )


def count_late(events: pl.DataFrame) -> int:
    """Events that stand in the source after a later event of the same user; they are sorted in, not refused."""
    newest_before = pl.col(columns.EVENT_TIME).cum_max().shift(1).over(columns.USER_ID)
    return int(events.select((pl.col(columns.EVENT_TIME) < newest_before).sum()).item())


def leave_one_out(events: pl.DataFrame, *, discovery_only: bool = False) -> pl.DataFrame:
    """One row a user and split, sorted by user: the validation target, then the test target.

    `discovery`: no earlier event of the user, of whatever type, touches the item. `num_targets`: earlier takes.
    With `discovery_only` repeats are no targets, so the test is the last item that a user took for the first time.
    """
    first_touch = pl.col(columns.POSITION).min().over(columns.USER_ID, columns.ITEM_ID)
    takes = (
        events.select(
            *(columns.USER_ID, columns.ITEM_ID, columns.EVENT_TIME, columns.POSITION, columns.IS_TARGET),
            (first_touch == pl.col(columns.POSITION)).alias(columns.DISCOVERY),
        )
        .filter(columns.IS_TARGET)
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(columns.USER_ID).alias("num_targets"))
    )
    targets = (
        takes.filter(pl.lit(not discovery_only) | pl.col(columns.DISCOVERY))
        .with_columns(
            pl.int_range(pl.len(), 0, step=-1, dtype=pl.Int64).over(columns.USER_ID).alias(_FROM_LAST),
            pl.len().over(columns.USER_ID).alias("total"),
        )
        .filter(pl.col("total") >= MIN_TARGETS, pl.col(_FROM_LAST) <= 2)
    )
    is_last = pl.col(_FROM_LAST) == 1
    named = targets.with_columns(pl.when(is_last).then(pl.lit(TEST)).otherwise(pl.lit(VALIDATION)).alias(columns.SPLIT))
    return named.select(SPLIT.names())


def training_events(events: pl.DataFrame, split: pl.DataFrame, *, before: str = VALIDATION) -> pl.DataFrame:
    """Events before the user's target of a split; all events of a user without one. The order is kept."""
    ends = split.filter(pl.col(columns.SPLIT) == before).select(columns.USER_ID, pl.col(columns.POSITION).alias("end"))
    return (
        events.join(ends, on=columns.USER_ID, how="left", maintain_order="left")
        .filter(pl.col("end").is_null() | (pl.col(columns.POSITION) < pl.col("end")))
        .drop("end")
    )
