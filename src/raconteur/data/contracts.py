"""Every row of a source is checked here, at the door, by column expressions over the whole table.

`check` parses the cells, gives each bad row the first reason that applies, and returns good tables in the types of
the contract plus the quarantine. Nothing else in the core re-checks rows. The order of the reasons is the order of the
lists below; a row that a reader marked itself keeps the reader's reason.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from raconteur import columns
from raconteur.data import parse
from raconteur.data.dataset import ITEMS, RAW_EVENTS, USERS, UTC_TIME
from raconteur.data.raw import EXPECTED_REASONS, RawLog
from raconteur.errors import DataError

EMPTY_USER, EMPTY_ITEM, EMPTY_TYPE = "empty user_id", "empty item_id", "empty event_type"
MISSING_TIME, UNREADABLE_TIME, FUTURE = "missing event_time", "unreadable event_time", "event in the future"
WRONG_VALUE, NOT_FINITE = "value is no number", "value is not finite"
UNKNOWN_ITEM, DUPLICATE_EVENT = "unknown item", "exact duplicate event"
DUPLICATE_ITEM, DUPLICATE_USER = "duplicate item_id", "duplicate user_id"
WRONG_DATE, WRONG_FLAG = "released is no date", "available is no true or false"

_ROW = "_row"
_EXAMPLE_CHARS = 160


@dataclass(frozen=True, slots=True)
class Checked:
    """Good rows, in the order of the source, and what was put away."""

    events: pl.DataFrame  # RAW_EVENTS
    items: pl.DataFrame  # ITEMS
    users: pl.DataFrame | None  # USERS
    quarantine: pl.DataFrame  # table, line, reason, row
    num_rows: dict[str, int]  # rows read, by table
    num_untitled: int  # items without a title, which are called by their id


def check(raw: RawLog, *, now: datetime, max_quarantine: float = 1.0) -> Checked:
    """Checks all tables of a source.

    Args:
        now: aware; later events are in the future.
        max_quarantine: the share of a table's rows that may be bad; expected reasons do not count.

    Raises:
        DataError: a whole column is of a wrong type, too many rows are bad, or no event is left.
    """
    put_away = [raw.malformed]
    items, num_untitled = None, 0
    if raw.items is not None:
        items, bad = _check_items(raw.items)
        put_away.append(bad)
        num_untitled = items[columns.TITLE].null_count()
    events, bad = _check_events(raw, items, now)
    put_away.append(bad)
    users = None
    if raw.users is not None:
        users, bad = _check_users(raw.users)
        put_away.append(bad)
    quarantine = pl.concat(put_away).sort("table", columns.LINE, maintain_order=True)
    num_rows = _count_rows(raw)
    _refuse_too_many(quarantine, num_rows, max_quarantine)
    if events.is_empty():
        raise DataError(f"{raw.source} holds no good event{_by_reason(quarantine)}; check data.path and data.layout")
    if items is None:
        items = _items_of(events)
        num_untitled = items.height
    named = items.with_columns(pl.col(columns.TITLE).fill_null(pl.col(columns.ITEM_ID)))
    return Checked(events, named, users, quarantine, num_rows, num_untitled)


def _check_events(raw: RawLog, items: pl.DataFrame | None, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    cells = parse.with_missing(raw.events, {**RAW_EVENTS, columns.REASON: pl.String()})
    cells = cells.with_row_index(_ROW)
    parsed = cells.select(
        _ROW,
        parse.text(columns.USER_ID),
        parse.text(columns.ITEM_ID),
        parse.time(cells, columns.EVENT_TIME, raw.time).alias(columns.EVENT_TIME),
        parse.text(columns.EVENT_TYPE),
        parse.number(cells, columns.VALUE).alias(columns.VALUE),
        parse.text(columns.SESSION_ID),
        parse.string_map(cells, columns.CONTEXT).alias(columns.CONTEXT),
        pl.col(columns.REASON).alias("given"),
        parse.is_given(cells, columns.EVENT_TIME).alias("has_time"),
        parse.is_given(cells, columns.VALUE).alias("has_value"),
    )
    rules = [
        (EMPTY_USER, pl.col(columns.USER_ID).is_null()),
        (EMPTY_ITEM, pl.col(columns.ITEM_ID).is_null()),
        (EMPTY_TYPE, pl.col(columns.EVENT_TYPE).is_null()),
        (MISSING_TIME, ~pl.col("has_time")),
        (UNREADABLE_TIME, pl.col(columns.EVENT_TIME).is_null()),
        (FUTURE, pl.col(columns.EVENT_TIME) > pl.lit(now, dtype=UTC_TIME)),
        (WRONG_VALUE, pl.col("has_value") & pl.col(columns.VALUE).is_null()),
        (NOT_FINITE, ~pl.col(columns.VALUE).is_finite()),
    ]
    if items is not None:
        rules.append((UNKNOWN_ITEM, ~pl.col(columns.ITEM_ID).is_in(items[columns.ITEM_ID].implode())))
    judged = parsed.with_columns(pl.coalesce("given", _first_reason(rules)).alias(columns.REASON))
    good = judged.filter(pl.col(columns.REASON).is_null()).select(_ROW, *RAW_EVENTS)
    is_first = _is_first(good)
    bad = pl.concat(
        [
            judged.filter(pl.col(columns.REASON).is_not_null()).select(_ROW, columns.REASON),
            good.filter(~is_first).select(_ROW, pl.lit(DUPLICATE_EVENT).alias(columns.REASON)),
        ]
    )
    return good.filter(is_first).select(RAW_EVENTS.names()), _put_away(cells, bad, "events")


def _check_items(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    cells = parse.with_missing(table, ITEMS).with_row_index(_ROW)
    parsed = cells.select(
        _ROW,
        parse.text(columns.ITEM_ID),
        parse.text(columns.TITLE),
        parse.text(columns.DESCRIPTION),
        parse.string_list(cells, columns.CATEGORIES).alias(columns.CATEGORIES),
        parse.date(cells, columns.RELEASED).alias(columns.RELEASED),
        parse.flag(cells, columns.AVAILABLE).alias(columns.AVAILABLE),
        parse.string_map(cells, columns.ATTRIBUTES).alias(columns.ATTRIBUTES),
        parse.is_given(cells, columns.RELEASED).alias("has_date"),
        parse.is_given(cells, columns.AVAILABLE).alias("has_flag"),
    )
    rules = [
        (EMPTY_ITEM, pl.col(columns.ITEM_ID).is_null()),
        (DUPLICATE_ITEM, ~pl.col(columns.ITEM_ID).is_first_distinct()),
        (WRONG_DATE, pl.col("has_date") & pl.col(columns.RELEASED).is_null()),
        (WRONG_FLAG, pl.col("has_flag") & pl.col(columns.AVAILABLE).is_null()),
    ]
    judged = parsed.with_columns(_first_reason(rules).alias(columns.REASON))
    good = judged.filter(pl.col(columns.REASON).is_null()).select(
        pl.col(columns.AVAILABLE).fill_null(True) if name == columns.AVAILABLE else pl.col(name) for name in ITEMS
    )
    return good, _put_away(cells, judged.filter(pl.col(columns.REASON).is_not_null()), "items")


def _check_users(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    cells = parse.with_missing(table, USERS).with_row_index(_ROW)
    parsed = cells.select(
        _ROW,
        parse.text(columns.USER_ID),
        parse.string_map(cells, columns.ATTRIBUTES).alias(columns.ATTRIBUTES),
    )
    rules = [
        (EMPTY_USER, pl.col(columns.USER_ID).is_null()),
        (DUPLICATE_USER, ~pl.col(columns.USER_ID).is_first_distinct()),
    ]
    judged = parsed.with_columns(_first_reason(rules).alias(columns.REASON))
    bad = judged.filter(pl.col(columns.REASON).is_not_null())
    return judged.filter(pl.col(columns.REASON).is_null()).select(USERS.names()), _put_away(cells, bad, "users")


def _first_reason(rules: list[tuple[str, pl.Expr]]) -> pl.Expr:
    return pl.coalesce(pl.when(is_bad).then(pl.lit(reason)) for reason, is_bad in rules)


def _is_first(events: pl.DataFrame) -> pl.Series:
    """False where an earlier row says the same in every column; a context is compared as text."""
    pairs = pl.element().struct.field("key") + "\x1f" + pl.element().struct.field("value")
    has_context = events[columns.CONTEXT].null_count() < events.height
    context = pl.col(columns.CONTEXT).list.eval(pairs).list.join("\x1e") if has_context else pl.lit(None, pl.String)
    row = pl.struct(pl.exclude(_ROW, columns.CONTEXT), context.alias(columns.CONTEXT))
    return events.select(row.is_first_distinct()).to_series()


def _items_of(events: pl.DataFrame) -> pl.DataFrame:
    """The catalogue of a source that has none: the items that were touched, by id."""
    ids = events.select(pl.col(columns.ITEM_ID).unique().sort())
    return parse.with_missing(ids, ITEMS).select(
        pl.lit(True).alias(name) if name == columns.AVAILABLE else pl.col(name) for name in ITEMS
    )


def _put_away(cells: pl.DataFrame, bad: pl.DataFrame, table: str) -> pl.DataFrame:
    """The rows of the source as they were, as JSON, with the line and the reason."""
    shown = [name for name in cells.columns if name not in (_ROW, columns.LINE, columns.REASON)]
    reasons = bad.select(_ROW, pl.col(columns.REASON).alias("_reason"))
    return cells.join(reasons, on=_ROW, how="inner", maintain_order="left").select(
        pl.lit(table).alias("table"),
        pl.col(columns.LINE).cast(pl.Int64),
        pl.col("_reason").alias(columns.REASON),
        pl.struct(pl.col(name) for name in shown).struct.json_encode().alias("row"),
    )


def _count_rows(raw: RawLog) -> dict[str, int]:
    tables = {"events": raw.events, "items": raw.items, "users": raw.users}
    malformed = dict(raw.malformed["table"].value_counts().iter_rows())
    return {name: table.height + malformed.get(name, 0) for name, table in tables.items() if table is not None}


def _refuse_too_many(quarantine: pl.DataFrame, num_rows: dict[str, int], max_share: float) -> None:
    unexpected = quarantine.filter(~pl.col(columns.REASON).is_in(list(EXPECTED_REASONS)))
    for table, total in num_rows.items():
        bad = unexpected.filter(pl.col("table") == table)
        if bad.height > max_share * total:
            raise DataError(
                f"{bad.height:,} of {total:,} rows of {table} break the contract ({bad.height / total:.1%}, more than "
                f"data.max_quarantine = {max_share:.1%}){_by_reason(bad)}; first: line {bad[columns.LINE][0]} "
                f"{bad['row'][0][:_EXAMPLE_CHARS]}; repair the source or raise data.max_quarantine"
            )


def _by_reason(bad: pl.DataFrame) -> str:
    counts = bad[columns.REASON].value_counts().sort("count", columns.REASON, descending=[True, False])
    return ": " + ", ".join(f"{reason} {count:,}" for reason, count in counts.iter_rows()) if counts.height else ""
