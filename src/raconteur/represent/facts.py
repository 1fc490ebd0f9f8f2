"""What a text may state about an item: its category, how often it was taken, what the log says of the event.

Shared by rule-written styles and the rewriting Verbalizer, so that a fact is computed in one place and never invented.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raconteur.config.schema import DataConfig
from raconteur.features.rules import is_take
from raconteur.represent.mentions import plain
from raconteur.represent.template import value_text
from raconteur.types import Event

NUM_TASTES = 3  # categories in a summary of taste


@dataclass(frozen=True)
class Facts:
    """The catalogue's categories by item, and the data set's rule for what a take is."""

    categories: Mapping[str, Sequence[str]]
    data: DataConfig

    def is_take(self, event: Event) -> bool:
        """Whether the user took the item by this event."""
        data = self.data
        return is_take(event.event_type, event.value, targets=data.targets, min_value=data.min_value)

    def category(self, event: Event) -> str:
        """The item's first category; nothing where the catalogue has none."""
        return next((plain(category) for category in self.categories.get(event.item_id, ())), "")

    def count(self, event: Event, events: Sequence[Event]) -> str:
        """`x3`: how often the item was taken in these events; nothing below two."""
        count = sum(other.item_id == event.item_id and self.is_take(other) for other in events)
        return f"x{count}" if count > 1 else ""

    def raw(self, event: Event) -> str:
        """Type and value as logged."""
        value = [] if event.value is None else [value_text(event.value)]
        return " ".join([plain(event.event_type), *value])

    def taste(self, events: Sequence[Event]) -> str:
        """`likes drama crime .`: the most frequent categories of the distinct items taken, ties by name."""
        taken = {event.item_id for event in events if self.is_take(event)}
        counts = Counter(category for item_id in taken for category in self.categories.get(item_id, ()))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:NUM_TASTES]
        return " ".join(["likes", *(plain(category) for category, _ in ranked), "."]) if ranked else ""
