"""Keeps a served text fresh: events newer than the narrative are appended by template, so nothing is stale."""

from collections.abc import Sequence
from datetime import datetime

from raconteur.represent.template import event_text
from raconteur.types import Event

MAX_RECENT = 8  # newest events appended; the Reasoner reads the newest end of a text that is too long


def newer_than(events: Sequence[Event], as_of: datetime | None) -> list[Event]:
    """The events that a narrative does not cover, in their order; all of them where there is none."""
    return [event for event in events if as_of is None or event.event_time > as_of]


def append_recent(text: str, events: Sequence[Event], *, as_of: datetime | None) -> str:
    """The narrative followed by the events after it, oldest first.

    Args:
        as_of: time of the newest event that the narrative covers; None: there is no narrative, all events are new.
    """
    newest = sorted(newer_than(events, as_of), key=lambda event: event.event_time)[-MAX_RECENT:]
    return " ".join([text, *(event_text(event, newest[-1].event_time) for event in newest)]).strip()
