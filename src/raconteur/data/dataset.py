"""The prepared data set on disk: its columns, how it is written, and the record that everyone reads.

`prepare` writes it; training, evaluation, features and monitoring read it through `load_dataset`. Maps (context,
attributes) are true Arrow maps in Parquet, for Feast and DuckDB, and `List(Struct(key, value))` in Polars.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from raconteur import columns
from raconteur.artifacts import verify
from raconteur.errors import DataError

STRING_MAP = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
UTC_TIME = pl.Datetime("us", "UTC")

RAW_EVENTS = pl.Schema(
    {
        columns.USER_ID: pl.String(),
        columns.ITEM_ID: pl.String(),
        columns.EVENT_TIME: UTC_TIME,
        columns.EVENT_TYPE: pl.String(),
        columns.VALUE: pl.Float64(),
        columns.SESSION_ID: pl.String(),
        columns.CONTEXT: STRING_MAP,
    }
)
EVENTS = pl.Schema({**RAW_EVENTS, columns.POSITION: pl.Int64(), columns.IS_TARGET: pl.Boolean()})
ITEMS = pl.Schema(
    {
        columns.ITEM_ID: pl.String(),
        columns.TITLE: pl.String(),
        columns.DESCRIPTION: pl.String(),
        columns.CATEGORIES: pl.List(pl.String),
        columns.RELEASED: pl.Date(),
        columns.AVAILABLE: pl.Boolean(),
        columns.ATTRIBUTES: STRING_MAP,
    }
)
USERS = pl.Schema({columns.USER_ID: pl.String(), columns.ATTRIBUTES: STRING_MAP})
QUARANTINE = pl.Schema(
    {"table": pl.String(), columns.LINE: pl.Int64(), columns.REASON: pl.String(), "row": pl.String()}
)
SPLIT = pl.Schema(
    {
        columns.USER_ID: pl.String(),
        columns.SPLIT: pl.String(),
        columns.ITEM_ID: pl.String(),
        columns.EVENT_TIME: UTC_TIME,
        columns.POSITION: pl.Int64(),
        columns.DISCOVERY: pl.Boolean(),
        "num_targets": pl.Int64(),
    }
)
CANDIDATES = pl.Schema(
    {
        columns.USER_ID: pl.String(),
        columns.SPLIT: pl.String(),
        columns.NEGATIVES: pl.String(),
        columns.ITEM_ID: pl.String(),
        columns.CANDIDATES: pl.List(pl.String),
        columns.TRUTH: pl.Int64(),
    }
)
TABLES = {
    "events": EVENTS,
    "items": ITEMS,
    "users": USERS,
    "quarantine": QUARANTINE,
    "split": SPLIT,
    "candidates": CANDIDATES,
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared data set in memory; docs/architecture.md says what each table holds."""

    folder: Path
    events: pl.DataFrame  # sorted by user_id, position
    items: pl.DataFrame
    users: pl.DataFrame | None  # None where the source knows nothing about its users
    split: pl.DataFrame
    candidates: pl.DataFrame
    manifest: dict[str, Any]


def load_dataset(folder: Path) -> Dataset:
    """Verifies the checksums and reads the tables.

    Raises:
        ArtifactError: the folder is absent, unfinished or was changed.
        DataError: a table is no Parquet file or lacks a column of the contract.
    """
    folder = Path(folder)
    manifest = verify(folder)
    return Dataset(
        folder=folder,
        events=read_table(folder, "events"),
        items=read_table(folder, "items"),
        users=read_table(folder, "users") if (folder / "users.parquet").exists() else None,
        split=read_table(folder, "split"),
        candidates=read_table(folder, "candidates"),
        manifest=manifest,
    )


def load_quarantine(folder: Path) -> pl.DataFrame:
    """The rows that were put away: `table, line, reason, row`. Read apart, since only people look at it."""
    return read_table(Path(folder), "quarantine")


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """One table of a prepared folder, in the columns and types of its contract."""
    path = folder / f"{name}.parquet"
    try:
        frame = pl.read_parquet(path)
    except (OSError, PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}; run `raconteur data prepare` again") from None
    missing = [column for column in TABLES[name] if column not in frame.columns]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it has {', '.join(frame.columns)}; prepare the data again")
    return frame.select(pl.col(column).cast(dtype) for column, dtype in TABLES[name].items())


def write_table(folder: Path, name: str, frame: pl.DataFrame) -> None:
    """Writes one table of the contract into a folder that is still temporary (`artifacts.new_folder`)."""
    maps = [column for column, dtype in TABLES[name].items() if dtype == STRING_MAP]
    table = frame.select(TABLES[name].names()).with_columns(pl.col(maps).cast(pl.Map(pl.String, pl.String)))
    table.write_parquet(folder / f"{name}.parquet")
