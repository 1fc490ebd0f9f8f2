"""The items that users took, in order: what a Retriever is fitted on and asked with."""

import polars as pl

from raconteur import columns as c


def takes_before(events: pl.DataFrame, keys: pl.DataFrame) -> list[list[str]]:
    """Items that each user took before a position, oldest first, repeats in a row written once.

    Args:
        events: prepared events.
        keys: user_id and position; one list comes back for each row.
    """
    takes = (
        keys.select(c.USER_ID, pl.col(c.POSITION).alias("limit"))
        .with_row_index("row")
        .join(events.filter(c.IS_TARGET).select(c.USER_ID, c.POSITION, c.ITEM_ID), on=c.USER_ID, how="left")
        .filter(pl.col(c.POSITION) < pl.col("limit"))
        .sort("row", c.POSITION)
    )
    changed = (pl.col(c.ITEM_ID) != pl.col(c.ITEM_ID).shift(1).over("row")).fill_null(True)
    grouped = takes.filter(changed).group_by("row", maintain_order=True).agg(c.ITEM_ID)
    found = dict(zip(grouped["row"].to_list(), grouped[c.ITEM_ID].to_list(), strict=True))
    return [found.get(row, []) for row in range(keys.height)]


def take_sequences(events: pl.DataFrame) -> list[list[str]]:
    """All that each user took, one list a user in the order of the events."""
    ends = events.group_by(c.USER_ID, maintain_order=True).agg(pl.col(c.POSITION).max() + 1)
    return takes_before(events, ends)
