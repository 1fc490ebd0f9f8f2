"""Ways of rewriting a log by rule: the broad mixture that the models are started on.

The frozen Reasoner learns to read all of them and is tuned to none; the rewriting Verbalizer learns to write all of
them, and GRPO then finds out which of them (and what between them) helps the Reasoner. `CLEAN` is what a careful
engineer would write by hand, and an arm of the table: the honest opponent of the learned text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from raconteur.represent.citations import CATEGORY, COUNT, MAX_CITED, RAW, TASTE, cited, resolve
from raconteur.represent.facts import Facts
from raconteur.types import Event, History

Keep = Literal["takes", "valued", "all"]
Repeats = Literal["count", "once", "all"]
Detail = Literal["none", "category", "raw"]
TastePlace = Literal["none", "first", "last"]
NUM_ITEMS = (12, 32, MAX_CITED)  # of which the mixture takes one


@dataclass(frozen=True, slots=True)
class Style:
    """One way of writing.

    Attributes:
        keep: all events, those that carry a value, or only takes (events by which a user takes an item).
        repeats: write an item each time, once (at its newest), or once with its count.
        detail: what follows an item: nothing, its first category, or event type and value as logged.
        taste: a summary of the categories taken, placed first, last or not at all.
        num_items: newest items written at most.
    """

    keep: Keep = "takes"
    repeats: Repeats = "count"
    detail: Detail = "none"
    taste: TastePlace = "first"
    num_items: int = MAX_CITED


CLEAN = Style()


def draw_style(rng: np.random.Generator) -> Style:
    """A style from the mixture; settings are independent, and half of the styles leave the noise out."""
    return Style(
        keep=rng.choice(get_args(Keep), p=[0.5, 0.25, 0.25]),
        repeats=rng.choice(get_args(Repeats), p=[0.4, 0.4, 0.2]),
        detail=rng.choice(get_args(Detail), p=[0.5, 0.3, 0.2]),
        taste=rng.choice(get_args(TastePlace)),
        num_items=int(rng.choice(NUM_ITEMS)),
    )


def all_styles() -> list[Style]:
    """Every style that the mixture holds."""
    return [Style(*settings) for settings in product(*map(get_args, (Keep, Repeats, Detail, TastePlace)), NUM_ITEMS)]


def written(events: Sequence[Event], style: Style, facts: Facts) -> str:
    """The events in one style, in citations and markers (`citations`)."""
    kept = [(row, event) for row, event in enumerate(events) if _keeps(style, event, facts)]
    listed = _without_repeats(kept, style)[-style.num_items :]
    markers = {"none": [], "category": [CATEGORY], "raw": [RAW]}[style.detail]
    markers = [*markers, COUNT] if style.repeats == "count" else markers
    body = [" ".join([cited(row, len(events)), *_true(markers, event, events, facts)]) for row, event in listed]
    taste = [TASTE] if style.taste != "none" and facts.taste(events) else []
    return " ".join([*taste, *body] if style.taste == "first" else [*body, *taste])


class StyleVerbalizer:
    """Implements `types.Verbalizer` by one fixed style."""

    def __init__(self, style: Style, facts: Facts, *, max_events: int) -> None:
        self._style, self._facts, self._max_events = style, facts, max_events

    def write(self, histories: Sequence[History]) -> list[str]:
        shown = [history.events[-self._max_events :] for history in histories]
        return [resolve(written(events, self._style, self._facts), events, self._facts) for events in shown]


def _keeps(style: Style, event: Event, facts: Facts) -> bool:
    return style.keep == "all" or facts.is_take(event) or (style.keep == "valued" and event.value is not None)


def _without_repeats(kept: Sequence[tuple[int, Event]], style: Style) -> list[tuple[int, Event]]:
    """An item that is written once stands at its newest event."""
    if style.repeats == "all":
        return list(kept)
    newest: dict[str, tuple[int, Event]] = {}
    for row, event in kept:
        newest.pop(event.item_id, None)
        newest[event.item_id] = (row, event)
    return list(newest.values())


def _true(markers: Sequence[str], event: Event, events: Sequence[Event], facts: Facts) -> list[str]:
    """Markers that would state something of this event."""
    states = {CATEGORY: facts.category(event), RAW: facts.raw(event), COUNT: facts.count(event, events)}
    return [marker for marker in markers if states[marker]]
