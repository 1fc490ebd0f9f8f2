"""Reference and current windows of the event log, as pandas frames of a fixed number of rows.

The reference is what the champion was trained on, just before its cut-off; the current window is what came after it.
Both cover a stretch of equal length and are thinned evenly over it to `monitor.window_rows` rows, so that a window
holds every hour of the day and, with a week of new events, every day of the week. Columns of different tables stand
side by side only to share a report: each is compared on its own, and no row is read across.
"""

import html
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl

from monitoring.measures import KNOWN_ITEM, MAX_CATEGORIES, MEASURES, MIN_ROWS, MISSING, NEW_ITEM, OTHER
from raconteur import artifacts
from raconteur.columns import CATEGORIES, CONTEXT, EVENT_TIME, EVENT_TYPE, IS_TARGET, ITEM_ID, USER_ID, VALUE
from raconteur.data.dataset import EVENTS
from raconteur.errors import DataError

DAY_PART_HOURS = 4
MIN_TAKES = 3  # earlier takes that a user needs before a taste is compared
MIN_SPAN = timedelta(days=1)

_CATEGORY = "_category"


@dataclass(frozen=True, slots=True)
class Windows:
    """Two frames with the same columns; a table with too few rows has no columns in them."""

    reference: pd.DataFrame
    current: pd.DataFrame
    notes: tuple[str, ...] = ()  # which tables were left out, and why

    def beside(self, other: "Windows") -> "Windows":
        """These windows with the columns of others next to theirs."""
        return Windows(
            pd.concat([self.reference, other.reference], axis=1),
            pd.concat([self.current, other.current], axis=1),
            self.notes + other.notes,
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time that is judged: events in (start, end] are current, the same length before start is the reference."""

    start: datetime  # newest event that the champion learned from
    end: datetime  # newest event known; equal to start where nothing came later

    @property
    def span(self) -> timedelta:
        return max(self.end - self.start, MIN_SPAN)


def stretch(data: Path, incoming: Path, *, cutoff: datetime | None) -> Stretch:
    """
    Args:
        data: prepared data set of the champion.
        incoming: newly prepared log.
        cutoff: newest event that the champion learned from; None: the newest event of `data`.
    """
    start = cutoff or _newest(data)
    return Stretch(start, max(start, _newest(incoming)))


def event_windows(data: Path, incoming: Path, when: Stretch, *, rows: int) -> Windows:
    """Compares all events, and apart from them the events by which a user takes an item.

    Raises:
        DataError: a data set is missing or has other columns.
    """
    learned, arrived = _events(data), _events(incoming)
    learned = learned.filter(pl.col(EVENT_TIME) <= when.start)
    recent = learned.filter(pl.col(EVENT_TIME) > when.start - when.span)
    before = learned.filter(pl.col(EVENT_TIME) <= when.start - when.span)
    arrived = arrived.filter(pl.col(EVENT_TIME) > when.start)
    categories = pl.concat([_categories(data), _categories(incoming)]).unique(ITEM_ID, keep="last")

    log = side_by_side(_log_rows(recent, rows), _log_rows(arrived, rows), table="events")
    popularity = _popularity(learned)
    takes = side_by_side(
        _take_rows(recent, rows, tastes=_tastes(before, categories), categories=categories, popularity=popularity),
        _take_rows(arrived, rows, tastes=_tastes(learned, categories), categories=categories, popularity=popularity),
        table="takes",
    )
    return log.beside(takes)


def thin(frame: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Keeps `rows` rows at even distances, the last among them; a shorter frame stays whole."""
    if frame.height <= rows:
        return frame
    return frame[[(index + 1) * frame.height // rows - 1 for index in range(rows)]]


def side_by_side(reference: pl.DataFrame, current: pl.DataFrame, *, table: str) -> Windows:
    """Cuts both to one length and makes them pandas frames: texts escaped, rare values joined, missing ones named."""
    smaller = min(reference.height, current.height)
    if smaller < MIN_ROWS:
        got = f"{reference.height} reference and {current.height} new rows"
        return Windows(pd.DataFrame(), pd.DataFrame(), (f"{table} were not compared: {got}, {MIN_ROWS} are needed",))
    reference, current = thin(reference, smaller), thin(current, smaller)
    for measure in MEASURES:
        if measure.kind == "category" and measure.column in reference.columns:
            kept = _frequent(pl.concat([reference[measure.column], current[measure.column]]))
            reference = reference.with_columns(_labels(measure.column, kept))
            current = current.with_columns(_labels(measure.column, kept))
    return Windows(reference.to_pandas(), current.to_pandas())


def _frequent(values: pl.Series) -> list[str]:
    counts = (
        values.drop_nulls().value_counts(sort=True, name="count").sort("count", values.name, descending=[True, False])
    )
    return counts[values.name].head(MAX_CATEGORIES).to_list()


def _labels(column: str, kept: list[str]) -> pl.Expr:
    """A log's words are data: they reach an HTML page, so they are escaped here."""
    value = pl.col(column)
    escaped = value.replace_strict(kept, [html.escape(word) for word in kept], default=OTHER, return_dtype=pl.String)
    return pl.when(value.is_null()).then(pl.lit(MISSING)).otherwise(escaped).alias(column)


def _log_rows(events: pl.LazyFrame, rows: int) -> pl.DataFrame:
    newest = thin(events.sort(EVENT_TIME).collect(), rows)
    device = pl.col(CONTEXT).list.eval(
        pl.element().struct.field("value").filter(pl.element().struct.field("key") == "device")
    )
    day_part = (pl.col(EVENT_TIME).dt.hour() // DAY_PART_HOURS * DAY_PART_HOURS).cast(pl.String)
    return newest.select(
        log_event_type=EVENT_TYPE,
        log_value=VALUE,
        log_device=device.list.first(),
        log_day_part=day_part.str.zfill(2) + "h",
    )


def _take_rows(
    events: pl.LazyFrame, rows: int, *, tastes: pl.DataFrame, categories: pl.DataFrame, popularity: pl.DataFrame
) -> pl.DataFrame:
    taken = events.filter(IS_TARGET).select(USER_ID, ITEM_ID, EVENT_TIME).sort(EVENT_TIME)
    joined = (
        thin(taken.collect(), rows)
        .join(categories, on=ITEM_ID, how="left", maintain_order="left")
        .join(popularity, on=ITEM_ID, how="left", maintain_order="left")
        .join(tastes, on=[USER_ID, _CATEGORY], how="left", maintain_order="left")
        .join(tastes.group_by(USER_ID).agg(known=pl.len()), on=USER_ID, how="left", maintain_order="left")
    )
    return joined.select(
        take_category=_CATEGORY,
        take_popularity=pl.col("rank").fill_null(1.0),
        take_new_item=pl.when(pl.col("rank").is_null()).then(pl.lit(NEW_ITEM)).otherwise(pl.lit(KNOWN_ITEM)),
        take_taste_match=pl.when(pl.col("known").is_not_null()).then(pl.col("share").fill_null(0.0)),
    )


def _popularity(learned: pl.LazyFrame) -> pl.DataFrame:
    """Rank of every item that the champion saw at all, 0 the most taken, towards 1 the least."""
    counts = learned.group_by(ITEM_ID).agg(takes=pl.col(IS_TARGET).sum())
    rank = (pl.col("takes").rank("average", descending=True) - 1) / pl.len()
    return counts.select(ITEM_ID, rank=rank).collect()


def _tastes(events: pl.LazyFrame, categories: pl.DataFrame) -> pl.DataFrame:
    """Share of each category among the takes of a user who has at least MIN_TAKES."""
    takes = events.filter(IS_TARGET).select(USER_ID, ITEM_ID).join(categories.lazy(), on=ITEM_ID)
    counts = takes.group_by(USER_ID, _CATEGORY).agg(takes=pl.len())
    total = pl.col("takes").sum().over(USER_ID)
    return counts.filter(total >= MIN_TAKES).select(USER_ID, _CATEGORY, share=pl.col("takes") / total).collect()


def _categories(folder: Path) -> pl.DataFrame:
    items = _table(folder, "items.parquet", (ITEM_ID, CATEGORIES))
    return items.select(ITEM_ID, pl.col(CATEGORIES).list.first().alias(_CATEGORY)).collect()


def _events(folder: Path) -> pl.LazyFrame:
    columns = (USER_ID, ITEM_ID, EVENT_TIME, EVENT_TYPE, VALUE, CONTEXT, IS_TARGET)
    table = _table(folder, "events.parquet", columns)
    return table.select(pl.col(column).cast(EVENTS[column]) for column in columns)


def _newest(folder: Path) -> datetime:
    newest = _events(folder).select(pl.col(EVENT_TIME).max()).collect().item()
    if newest is None:
        raise DataError(f"{folder / 'events.parquet'} holds no events; prepare a log that does")
    return newest


def _table(folder: Path, name: str, columns: tuple[str, ...]) -> pl.LazyFrame:
    artifacts.read_manifest(folder)
    try:
        table = pl.scan_parquet(folder / name)
        present = table.collect_schema().names()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{folder / name} cannot be read: {error}; prepare the data set again") from None
    missing = [column for column in columns if column not in present]
    if missing:
        raise DataError(f"{folder / name} lacks {missing}, it holds {present}; prepare the data set again")
    return table
