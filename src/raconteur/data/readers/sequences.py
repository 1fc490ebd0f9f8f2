"""Item sequences without times, as RecBole and LLMRank pass on Amazon reviews: `*.inter` and `*.item`, tab separated.

A row of `*.inter` is one user: `user_id`, `item_id_list` (oldest first, space separated) and `item_id`, the last one.
Only the order is known, so event k of a user (from 0) gets the time 2000-01-01 00:00:00 UTC plus k seconds: the order
within a user is right, times of different users cannot be compared. Events are of the type `rating`, without a value:
the users reviewed the items, the stars were left out.
"""

from datetime import UTC, datetime

import polars as pl

from raconteur import columns
from raconteur.data.raw import RawLog, TimeFormat
from raconteur.data.readers import files
from raconteur.data.readers.text import TextTable, read_text, require_columns
from raconteur.errors import DataError

FIRST_SECOND = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())


def read_sequences(folder: str) -> RawLog:
    """Reads a folder with one `*.inter` and one `*.item` file, plain or gzip.

    Raises:
        DataError: one of them is missing or there are several, or a column is missing.
    """
    url = _only(folder, ".inter")
    sequences = _read(url, "events", ["user_id", "item_id_list", "item_id"])
    items = _read(_only(folder, ".item"), "items", ["item_id", "title"])
    return RawLog(
        source=url,
        value_unit=None,
        events=_events(sequences.frame),
        items=items.frame.select(columns.LINE, columns.ITEM_ID, pl.col("title").str.strip_chars().alias(columns.TITLE)),
        malformed=pl.concat([sequences.malformed, items.malformed]),
        time=TimeFormat(unit="s"),
    )


def _only(folder: str, ending: str) -> str:
    found = [name for name in files.names(folder) if name.removesuffix(".gz").endswith(ending)]
    if len(found) != 1:
        raise DataError(f"{folder} holds {len(found)} files *{ending} where one was expected ({files.listing(folder)})")
    return files.join(folder, found[0])


def _read(url: str, table: str, required: list[str]) -> TextTable:
    text = read_text(url, table=table, separator="\t", quoted=False)
    # RecBole's header names the type beside the column: user_id:token.
    frame = text.frame.rename(lambda name: name.partition(":")[0])
    require_columns(frame, required, url)
    return TextTable(frame=frame, malformed=text.malformed)


def _events(sequences: pl.DataFrame) -> pl.DataFrame:
    earlier = pl.col("item_id_list").str.split(" ").list.filter(pl.element() != "")
    return (
        sequences.select(
            columns.LINE,
            pl.col("user_id").alias(columns.USER_ID),
            pl.concat_list(earlier, "item_id").alias(columns.ITEM_ID),
        )
        .with_columns(pl.int_ranges(pl.col(columns.ITEM_ID).list.len()).alias("order"))
        .explode(columns.ITEM_ID, "order")
        .select(
            columns.LINE,
            columns.USER_ID,
            columns.ITEM_ID,
            (pl.col("order") + FIRST_SECOND).alias(columns.EVENT_TIME),
            pl.lit("rating").alias(columns.EVENT_TYPE),
        )
    )
