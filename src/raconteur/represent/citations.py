"""How a Verbalizer cites the log: events are numbered, and a text names an item by the number of an event.

`<e1>` is the newest event that the writer was shown. A citation is resolved to the item of its event afterwards, so a
text can name no item that is not in the log, whatever the model writes; a citation of nothing is dropped.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.template import event_text
from raconteur.types import Event

MAX_CITED = 64  # events that can be cited; the numbers are tokens
_CITATION_OR_MENTION = re.compile(r"<e(\d+)>|<item:[^<>\s]+>")


def citation(number: int) -> str:
    return f"<e{number}>"


def numbered_log(events: Sequence[Event], as_of: datetime) -> str:
    """The raw log, each event followed by its number; oldest first."""
    count = len(events)
    return " ".join(f"{event_text(event, as_of)} {cited(row, count)}" for row, event in enumerate(events))


def cited(row: int, num_events: int) -> str:
    """Citation of the event in the given row, oldest first from 0."""
    return citation(num_events - row)


def resolve(text: str, events: Sequence[Event]) -> str:
    """The text with citations replaced by mentions; what the log does not hold is dropped."""
    count, logged = len(events), {event.item_id for event in events}

    def item(match: re.Match[str]) -> str:
        if match[1] is None:
            return f" {match[0]} " if mentioned(match[0])[0] in logged else " "
        row = count - int(match[1])
        return f" {mention(events[row].item_id)} " if 0 <= row < count else " "

    return " ".join(_CITATION_OR_MENTION.sub(item, text).split())
