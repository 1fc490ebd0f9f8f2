"""Cells to values: expressions that parse a column whether it comes as text or typed, null where it cannot be read.

Used by `contracts` alone, which turns a null of a given cell into a reason. A column whose whole type is impossible (a
number where a list of categories should be) is an error of the source, not of its rows.
"""

from collections.abc import Mapping

import polars as pl

from raconteur import columns
from raconteur.data.dataset import STRING_MAP, UTC_TIME
from raconteur.data.raw import TimeFormat
from raconteur.errors import DataError

NO_TEXT = ("", "nan", "NaN")  # what other programs write for a missing text
ISO_PATTERNS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
ISO_OFFSET_PATTERNS = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
TRUE_TEXTS, FALSE_TEXTS = ("true", "1", "yes"), ("false", "0", "no")
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def with_missing(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Adds the schema's columns that a source does not have, as nulls."""
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    line = [] if columns.LINE in frame.columns else [pl.lit(None, dtype=pl.Int64).alias(columns.LINE)]
    return frame.with_columns(*absent, *line)


def text(name: str) -> pl.Expr:
    cell = pl.col(name).cast(pl.String)
    return pl.when(~cell.str.strip_chars().is_in(NO_TEXT)).then(cell).alias(name)


def is_given(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Whether the cell says anything: not null and, as text, not blank."""
    if frame.schema[name] != pl.String:
        return pl.col(name).is_not_null()
    return pl.col(name).str.strip_chars().str.len_bytes().fill_null(0) > 0


def number(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if dtype.is_nested() or dtype.is_temporal():
        raise _wrong_type(name, dtype, "a number")
    cell = pl.col(name).str.strip_chars() if dtype == pl.String else pl.col(name)
    return cell.cast(pl.Float64, strict=False)


def time(frame: pl.DataFrame, name: str, written: TimeFormat) -> pl.Expr:
    """UTC microseconds. A local time that a clock change skipped cannot be read; one that it repeats is the earlier."""
    dtype, cell = frame.schema[name], pl.col(name)
    if isinstance(dtype, pl.Datetime):
        typed = cell.cast(pl.Datetime("us", dtype.time_zone))
        return typed.dt.convert_time_zone("UTC") if dtype.time_zone else _from_zone(typed, written.zone)
    if dtype == pl.Date:
        return _from_zone(cell.cast(pl.Datetime("us")), written.zone)
    if dtype.is_numeric() or (dtype == pl.String and written.unit != "text"):
        return _since_1970(number(frame, name), written)
    if dtype == pl.String:
        return _calendar(cell, written)
    if dtype == pl.Null:
        return cell.cast(UTC_TIME)
    raise _wrong_type(name, dtype, "a time")


def date(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if dtype == pl.String:
        return pl.col(name).str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
    if isinstance(dtype, pl.Datetime) or dtype in (pl.Date, pl.Null):
        return pl.col(name).cast(pl.Date)
    raise _wrong_type(name, dtype, "a date")


def flag(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if dtype in (pl.Boolean, pl.Null):
        return pl.col(name).cast(pl.Boolean)
    cell = pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.when(cell.is_in(TRUE_TEXTS)).then(True).when(cell.is_in(FALSE_TEXTS)).then(False)


def string_list(frame: pl.DataFrame, name: str) -> pl.Expr:
    """An absent list is an empty one."""
    dtype = frame.schema[name]
    if dtype != pl.Null and not isinstance(dtype, pl.List):
        raise _wrong_type(name, dtype, "a list of texts")
    return pl.col(name).cast(pl.List(pl.String)).fill_null([])


def string_map(frame: pl.DataFrame, name: str) -> pl.Expr:
    """An Arrow map or a list of key-value pairs."""
    dtype = frame.schema[name]
    if dtype == pl.Null or dtype == STRING_MAP or isinstance(dtype, pl.Map):
        return pl.col(name).cast(STRING_MAP)
    raise _wrong_type(name, dtype, "a map of texts")


def _since_1970(cell: pl.Expr, written: TimeFormat) -> pl.Expr:
    factor = MICROSECONDS.get(written.unit)
    if factor is None:
        raise DataError("event_time holds numbers: set time_unit to s, ms or us in the mapping")
    # By way of Int64: a number too large for a time becomes null, NaN too.
    return (cell * factor).round().cast(pl.Int64, strict=False).cast(UTC_TIME)


def _calendar(cell: pl.Expr, written: TimeFormat) -> pl.Expr:
    stripped = cell.str.strip_chars()
    if written.pattern:
        return _from_zone(stripped.str.to_datetime(written.pattern, time_unit="us", strict=False), written.zone)
    spaced = stripped.str.replace(r"^(\d{4}-\d{2}-\d{2})T", "${1} ").str.replace(r"[zZ]$", "+00:00")
    local = [spaced.str.to_datetime(pattern, time_unit="us", strict=False) for pattern in ISO_PATTERNS]
    absolute = [
        spaced.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
        for pattern in ISO_OFFSET_PATTERNS
    ]
    return pl.coalesce(*(_from_zone(read, written.zone) for read in local), *absolute)


def _from_zone(local: pl.Expr, zone: str) -> pl.Expr:
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _wrong_type(name: str, dtype: pl.DataType, expected: str) -> DataError:
    return DataError(
        f"column {name} is of type {dtype}, {expected} was expected; check the mapping or convert the file"
    )
