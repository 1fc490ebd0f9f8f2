"""Item features as of given times: how often an item was touched and taken before, and what the catalogue says."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from raconteur.columns import AVAILABLE, CATEGORIES, EVENT_TIME, IS_TARGET, ITEM_ID, RELEASED, TITLE
from raconteur.features import names as f


def snapshot_times(events: pl.DataFrame, *, num_snapshots: int) -> list[datetime]:
    """Times that cut a log of at least one event into equal spans; the last is just after its newest event."""
    start, end = events.select(pl.col(EVENT_TIME).min().alias("start"), pl.col(EVENT_TIME).max().alias("end")).row(0)
    now = end + timedelta(microseconds=1)
    return sorted({now - index * ((now - start) / num_snapshots) for index in range(num_snapshots)})


def item_features(events: pl.DataFrame, items: pl.DataFrame, *, times: Sequence[datetime]) -> pl.DataFrame:
    """One row an item and time, from the events before that time."""
    return pl.concat([_as_of(events, items, time) for time in times])


def _as_of(events: pl.DataFrame, items: pl.DataFrame, time: datetime) -> pl.DataFrame:
    now = pl.lit(time, events.schema[EVENT_TIME])
    recent = pl.col(EVENT_TIME) >= now - timedelta(days=f.RECENT_DAYS)
    counts = (
        events.filter(pl.col(EVENT_TIME) < now)
        .group_by(ITEM_ID)
        .agg(
            pl.len().cast(pl.Int64).alias(f.NUM_EVENTS),
            pl.col(IS_TARGET).sum().cast(pl.Int64).alias(f.NUM_TARGETS),
            (pl.col(IS_TARGET) & recent).sum().cast(pl.Int64).alias(f.NUM_RECENT_TARGETS),
        )
    )
    catalogue = items.select(ITEM_ID, TITLE, CATEGORIES, pl.col(RELEASED).cast(pl.String), AVAILABLE)
    return (
        catalogue.join(counts, on=ITEM_ID, how="left", maintain_order="left")
        .with_columns(pl.col(f.NUM_EVENTS, f.NUM_TARGETS, f.NUM_RECENT_TARGETS).fill_null(0))
        .with_columns(now.alias(f.EVENT_TIMESTAMP))
    )
