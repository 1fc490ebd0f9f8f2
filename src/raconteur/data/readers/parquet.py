"""Reads a Parquet file of a source, with `line` as the number of its row."""

import io
from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from raconteur import columns
from raconteur.data.readers import files
from raconteur.data.readers.text import require_columns
from raconteur.errors import DataError


def read_parquet(url: str, *, required: Sequence[str] = ()) -> pl.DataFrame:
    """All columns, their types as they are.

    Raises:
        DataError: the file is missing, no Parquet, or lacks a required column.
    """
    try:
        frame = pl.read_parquet(io.BytesIO(files.read_bytes(url)))
    except (PolarsError, OSError) as error:
        raise DataError(f"{url} is no readable Parquet file: {str(error).splitlines()[0]}") from None
    require_columns(frame, required, url)
    line = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(columns.LINE)
    return frame.select(line, pl.all().exclude(columns.LINE))
