"""Ways of rewriting a log by rule: the broad mixture that the models are started on.

The frozen Reasoner learns to read all of them and is tuned to none; the rewriting Verbalizer learns to write all of
them, and GRPO then finds out which of them (and what between them) helps the Reasoner. `CLEAN` is what a careful
engineer would write by hand, and an arm of the table: the honest opponent of the learned text.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raconteur.config.schema import DataConfig
from raconteur.represent.mentions import mention, plain
from raconteur.represent.template import value_text
from raconteur.types import Event, History, Item

NUM_TASTES = 3  # categories in a summary of taste


@dataclass(frozen=True, slots=True)
class Style:
    """One way of writing.

    Attributes:
        keep: all events, only takes (events by which a user takes an item), or takes and a random part of the rest.
        repeats: write an item each time, once (at its newest), or once with its count.
        detail: what follows an item: nothing, its first category, or event type and value as logged.
        taste: a summary of the categories taken, placed first, last or not at all.
        num_items: newest items written at most.
    """

    keep: Literal["all", "takes", "some"] = "takes"
    repeats: Literal["all", "once", "count"] = "count"
    detail: Literal["none", "category", "raw"] = "none"
    taste: Literal["none", "first", "last"] = "first"
    num_items: int = 24


CLEAN = Style()


def draw_style(rng: np.random.Generator) -> Style:
    """A style from the mixture: every setting even-handedly, independent of the others."""
    return Style(
        keep=rng.choice(["all", "takes", "some"]),
        repeats=rng.choice(["all", "once", "count"]),
        detail=rng.choice(["none", "category", "raw"]),
        taste=rng.choice(["none", "first", "last"]),
        num_items=int(rng.choice([8, 16, 24, 32])),
    )


def is_take(event: Event, data: DataConfig) -> bool:
    """Whether the user took the item by this event, by the data set's own rule."""
    if event.event_type not in data.targets:
        return False
    return data.min_value is None or (event.value is not None and event.value >= data.min_value)


def rewrite(
    history: History,
    style: Style,
    items: Mapping[str, Item],
    data: DataConfig,
    rng: np.random.Generator,
    *,
    name: Callable[[int], str] | None = None,
) -> str:
    """The history in one style; only facts of the log and the catalogue are stated.

    Args:
        name: how the item of the n-th event is written; None: as its mention.
    """
    kept = _kept(history.events, style, data, rng)
    listed = _without_repeats(kept, style.repeats)[-style.num_items :]
    body = [
        _item_text(name(row) if name else mention(event.item_id), event, count, style, items)
        for row, event, count in listed
    ]
    taste = _taste([event for _, event in kept], items) if style.taste != "none" else []
    parts = [*taste, *body] if style.taste == "first" else [*body, *taste]
    return " ".join(parts)


class StyleVerbalizer:
    """Implements `types.Verbalizer` by one fixed style."""

    def __init__(self, style: Style, items: Mapping[str, Item], data: DataConfig, *, max_events: int) -> None:
        self._style, self._items, self._data, self._max_events = style, items, data, max_events

    def write(self, histories: Sequence[History]) -> list[str]:
        rng = np.random.default_rng(0)  # only the style "some" draws from it
        newest = (History(history.user_id, history.events[-self._max_events :]) for history in histories)
        return [rewrite(history, self._style, self._items, self._data, rng) for history in newest]


def _kept(events: Sequence[Event], style: Style, data: DataConfig, rng: np.random.Generator) -> list[tuple[int, Event]]:
    share = {"all": 1.0, "takes": 0.0, "some": rng.uniform()}[style.keep]
    return [(row, event) for row, event in enumerate(events) if is_take(event, data) or rng.uniform() < share]


def _without_repeats(kept: Sequence[tuple[int, Event]], repeats: str) -> list[tuple[int, Event, int]]:
    """Rows, events and counts; an item that is written once stands at its newest event."""
    if repeats == "all":
        return [(row, event, 1) for row, event in kept]
    counts = Counter(event.item_id for _, event in kept)
    newest: dict[str, tuple[int, Event]] = {}
    for row, event in kept:
        newest.pop(event.item_id, None)
        newest[event.item_id] = (row, event)
    return [(row, event, counts[event.item_id] if repeats == "count" else 1) for row, event in newest.values()]


def _item_text(name: str, event: Event, count: int, style: Style, items: Mapping[str, Item]) -> str:
    parts = [name]
    item = items.get(event.item_id)
    if style.detail == "category" and item and item.categories:
        parts.append(plain(item.categories[0]))
    if style.detail == "raw":
        parts += [plain(event.event_type), *([] if event.value is None else [value_text(event.value)])]
    if count > 1:
        parts.append(f"x{count}")
    return " ".join(parts)


def _taste(events: Sequence[Event], items: Mapping[str, Item]) -> list[str]:
    distinct = {event.item_id for event in events if event.item_id in items}
    counts = Counter(category for item_id in sorted(distinct) for category in items[item_id].categories)
    if not counts:
        return []
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:NUM_TASTES]
    return ["likes", *(plain(category) for category, _ in ranked), "."]
