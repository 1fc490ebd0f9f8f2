"""A clock on which no two events of a user share a moment, so that a point-in-time join can tell them apart.

Logs have ties: many MovieLens ratings carry the same second. A join by plain time would hand a target the features of
its own neighbours, or of itself. The moment of an event is its time, moved on by as few microseconds as keep the
moments of a user strictly increasing in the order of `position`; without ties it is the time itself.
"""

import polars as pl

from raconteur.columns import EVENT_TIME, POSITION, USER_ID
from raconteur.features.names import EVENT_TIMESTAMP


def with_moments(events: pl.DataFrame) -> pl.DataFrame:
    """Adds `event_timestamp`, the moment of each event; `events` is sorted by user and position."""
    steps = pl.duration(microseconds=pl.col(POSITION))
    # max over q <= p of (time_q - q) + p: at least one microsecond after every earlier event, and never early.
    moment = (pl.col(EVENT_TIME) - steps).cum_max().over(USER_ID) + steps
    return events.with_columns(moment.alias(EVENT_TIMESTAMP))


def with_target_moments(split: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Adds the moment of each target to rows of the split table: features may be used up to, not from, that event."""
    moments = with_moments(events).select(USER_ID, POSITION, EVENT_TIMESTAMP)
    return split.join(moments, on=[USER_ID, POSITION], how="left", maintain_order="left")
