"""The embedded world's tables, `events.parquet items.parquet users.parquet`: already in our columns and types."""

import polars as pl

from raconteur import columns
from raconteur.data.dataset import ITEMS, RAW_EVENTS, USERS
from raconteur.data.raw import RawLog
from raconteur.data.readers import files
from raconteur.data.readers.parquet import read_parquet


def read_world(folder: str) -> RawLog:
    """Reads the tables; columns outside the contract are not ours and stay behind.

    Raises:
        DataError: a table is missing, no Parquet, or lacks an id, a time or a type.
    """
    required = [columns.USER_ID, columns.ITEM_ID, columns.EVENT_TIME, columns.EVENT_TYPE]
    url = files.require(folder, "events.parquet")
    events = read_parquet(url, required=required)
    items = read_parquet(files.require(folder, "items.parquet"), required=[columns.ITEM_ID, columns.TITLE])
    users = read_parquet(files.require(folder, "users.parquet"), required=[columns.USER_ID])
    return RawLog(
        source=url,
        value_unit="minutes",
        events=_known(events, RAW_EVENTS),
        items=_known(items, ITEMS),
        users=_known(users, USERS),
    )


def _known(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(columns.LINE, *(name for name in schema if name in frame.columns))
