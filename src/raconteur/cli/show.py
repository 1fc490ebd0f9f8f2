"""What commands print: tables of figures, a user's events, a spinner with the time while something runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from raconteur import columns
from raconteur.errors import DataError

SHOWN_EVENTS = 20


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner and the time so far, for work of seconds that cannot say how far it is."""
    parts = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(escape(what))
        yield


def print_figures(title: str, figures: Mapping[str, object]) -> None:
    """A two-column table; a mapping inside (counts by reason, say) gives rows of its own."""
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for name, value in _flat(figures):
        table.add_row(escape(name), escape(_text(value)))
    Console().print(table)


def print_events(data: Path, user: str) -> None:
    """A user's newest events, oldest first.

    Raises:
        DataError: the data set has no such user.
    """
    import polars as pl

    events = pl.scan_parquet(data / "events.parquet").filter(pl.col(columns.USER_ID) == user).collect()
    if events.is_empty():
        raise DataError(f"{data} has no user '{user}'; user ids are case-sensitive texts")
    titles = pl.read_parquet(data / "items.parquet").select(columns.ITEM_ID, columns.TITLE)
    newest = events.tail(SHOWN_EVENTS).join(titles, on=columns.ITEM_ID, how="left", maintain_order="left")
    shown = (columns.EVENT_TIME, columns.EVENT_TYPE, columns.ITEM_ID, columns.TITLE, columns.VALUE)
    table = Table(*shown, title=escape(f"newest events of {user} ({len(events)} in all)"), title_justify="left")
    for row in newest.select(shown).iter_rows():
        table.add_row(*(escape(_text(value)) for value in row))
    Console().print(table)


def _flat(figures: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        place = f"{path} {name}".strip()
        if isinstance(value, Mapping):
            yield from _flat(value, place)
        else:
            yield place, value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
