"""Moves tables into the store folder, each one whole: a reader sees the old table or the new one."""

import shutil
from datetime import datetime
from pathlib import Path

import polars as pl

from raconteur.columns import USER_ID
from raconteur.errors import DataError
from raconteur.features import names as f
from raconteur.features.rules import RULES_FILE

NARRATIVE_SCHEMA = {
    USER_ID: pl.String,
    f.TEXT: pl.String,
    f.VERBALIZER_VERSION: pl.String,
    f.CATALOGUE_VERSION: pl.String,
    f.AS_OF_US: pl.Int64,
    f.NUM_TOKENS: pl.Int64,
    f.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"),
    f.CREATED: pl.Datetime("us", "UTC"),
}


def install_tables(built: Path, store: Path) -> None:
    """Puts the tables and rules of `build_features` into the store, and an empty narrative table where none is."""
    store.mkdir(parents=True, exist_ok=True)
    for name in (f"{f.USER_TABLE}.parquet", f"{f.ITEM_TABLE}.parquet", RULES_FILE):
        temporary = store / f".{name}.tmp"
        shutil.copyfile(built / name, temporary)
        temporary.replace(store / name)
    if not _path(store, f.NARRATIVE_TABLE).exists():
        write_table(store, f.NARRATIVE_TABLE, pl.DataFrame(schema=NARRATIVE_SCHEMA))


def append_narratives(store: Path, narrated: pl.DataFrame, *, created: datetime) -> int:
    """Adds texts to the history of narratives; returns how many. A text of no event (`as_of` null) is left out.

    Args:
        narrated: the table that `represent.narrate` writes.
    """
    as_of = pl.col(f.AS_OF).dt.cast_time_unit("us")
    rows = narrated.filter(pl.col(f.AS_OF).is_not_null()).with_columns(
        as_of.alias(f.EVENT_TIMESTAMP), as_of.dt.epoch("us").alias(f.AS_OF_US), pl.lit(created).alias(f.CREATED)
    )
    known = read_table(store, f.NARRATIVE_TABLE)
    write_table(
        store, f.NARRATIVE_TABLE, pl.concat([known, rows.select(list(NARRATIVE_SCHEMA)).cast(NARRATIVE_SCHEMA)])
    )
    return rows.height


def read_table(store: Path, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(_path(store, name))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{_path(store, name)} cannot be read ({error}); run the features step again") from None


def write_table(store: Path, name: str, table: pl.DataFrame) -> None:
    temporary = store / f".{name}.parquet.tmp"
    table.write_parquet(temporary)
    temporary.replace(_path(store, name))


def _path(store: Path, name: str) -> Path:
    return store / f"{name}.parquet"
