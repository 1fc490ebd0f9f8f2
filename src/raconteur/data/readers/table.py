"""Any CSV or Parquet log, its columns named by a mapping TOML (`mapping`)."""

from collections.abc import Sequence

import polars as pl

from raconteur import columns
from raconteur.data.raw import RawLog, string_map
from raconteur.data.readers import files
from raconteur.data.readers.mapping import EventsMapping, FileMapping, ItemsMapping, Mapping, UsersMapping
from raconteur.data.readers.parquet import read_parquet
from raconteur.data.readers.text import TextTable, read_text
from raconteur.errors import DataError


def read_table_log(path: str, mapping: Mapping) -> RawLog:
    """Reads the files that a mapping names.

    Raises:
        DataError: a file or a column that the mapping names is not there, or a file is malformed.
    """
    events = _read(path, mapping.events, "events", _event_columns(mapping.events))
    tables = [events]
    items = users = None
    if mapping.items:
        tables.append(_read(path, mapping.items, "items", _item_columns(mapping.items)))
        items = _items(tables[-1].frame, mapping.items)
    if mapping.users:
        tables.append(_read(path, mapping.users, "users", [mapping.users.user_id, *mapping.users.attributes]))
        users = _users(tables[-1].frame, mapping.users)
    return RawLog(
        source=path,
        value_unit=mapping.events.value_unit,
        events=_events(events.frame, mapping.events),
        items=items,
        users=users,
        malformed=pl.concat([table.malformed for table in tables]),
        time=mapping.events.time(),
    )


def _read(path: str, mapping: FileMapping, table: str, required: Sequence[str]) -> TextTable:
    if mapping.file is None and files.is_folder(path):
        raise DataError(f"data.path {path} is a folder: name its {table} file in the mapping ([{table}] file = ...)")
    url = files.join(path, mapping.file) if mapping.file else path
    if url.endswith((".parquet", ".pq")):
        return TextTable(frame=read_parquet(url, required=required))
    return read_text(
        url,
        table=table,
        separator=mapping.separator,
        header=mapping.header or None,
        required=required,
        quoted=mapping.quoted,
        encoding=mapping.encoding,
    )


def _event_columns(mapping: EventsMapping) -> list[str]:
    optional = [name for name in (mapping.event_type, mapping.value, mapping.session_id) if name]
    return [mapping.user_id, mapping.item_id, mapping.event_time, *optional, *mapping.context]


def _item_columns(mapping: ItemsMapping) -> list[str]:
    optional = (mapping.title, mapping.description, mapping.categories, mapping.released, mapping.available)
    return [mapping.item_id, *(name for name in optional if name), *mapping.attributes]


def _events(frame: pl.DataFrame, mapping: EventsMapping) -> pl.DataFrame:
    named = {columns.USER_ID: mapping.user_id, columns.ITEM_ID: mapping.item_id, columns.EVENT_TIME: mapping.event_time}
    optional = {
        columns.EVENT_TYPE: mapping.event_type,
        columns.VALUE: mapping.value,
        columns.SESSION_ID: mapping.session_id,
    }
    picked = _renamed(named | {ours: theirs for ours, theirs in optional.items() if theirs})
    if mapping.event_type is None:
        picked.append(pl.lit(mapping.default_type).alias(columns.EVENT_TYPE))
    return frame.select(columns.LINE, *picked, *_maps(frame, mapping.context, columns.CONTEXT))


def _items(frame: pl.DataFrame, mapping: ItemsMapping) -> pl.DataFrame:
    optional = {
        columns.TITLE: mapping.title,
        columns.DESCRIPTION: mapping.description,
        columns.RELEASED: mapping.released,
        columns.AVAILABLE: mapping.available,
    }
    picked = _renamed(
        {columns.ITEM_ID: mapping.item_id} | {ours: theirs for ours, theirs in optional.items() if theirs}
    )
    if mapping.categories:
        picked.append(_categories(frame, mapping.categories, mapping.category_separator).alias(columns.CATEGORIES))
    return frame.select(columns.LINE, *picked, *_maps(frame, mapping.attributes, columns.ATTRIBUTES))


def _users(frame: pl.DataFrame, mapping: UsersMapping) -> pl.DataFrame:
    return frame.select(
        columns.LINE,
        pl.col(mapping.user_id).alias(columns.USER_ID),
        *_maps(frame, mapping.attributes, columns.ATTRIBUTES),
    )


def _renamed(named: dict[str, str]) -> list[pl.Expr]:
    return [pl.col(theirs).alias(ours) for ours, theirs in named.items()]


def _maps(frame: pl.DataFrame, names: Sequence[str], ours: str) -> list[pl.Series]:
    return [string_map(frame, {name: name for name in names}).alias(ours)] if names else []


def _categories(frame: pl.DataFrame, name: str, separator: str) -> pl.Expr:
    """Text is split; a list stays one."""
    if frame.schema[name] != pl.String:
        return pl.col(name)
    return pl.col(name).str.split(separator).list.eval(pl.element().str.strip_chars()).list.filter(pl.element() != "")
