"""How a Verbalizer writes what is true: it cites events by number and asks for facts by markers.

`<e1>` is the newest event that the writer was shown. After a citation, `<category>`, `<count>` and `<raw>` stand for
the item's category, how often it was taken, and the event as logged; `<taste>` for a summary of the categories taken.
`resolve` fills all of them in from log and catalogue: a text can neither name an item that is not in the log nor state
a false fact, whatever the model writes. A citation of nothing, or of an event cited before, is dropped.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.template import event_text
from raconteur.types import Event

MAX_CITED = 100  # events that can be cited; the numbers are tokens
CATEGORY, COUNT, RAW, TASTE = "<category>", "<count>", "<raw>", "<taste>"
KEEP, DROP = "<keep>", "<drop>"  # decisions about an event (`action`); they state nothing
_WORD = re.compile(r"<e\d+>|<item:[^<>\s]+>|<[a-z]+>|[^\s<]+|<")


def citation(number: int) -> str:
    return f"<e{number}>"


def cited(row: int, num_events: int) -> str:
    """Citation of the event in the given row, oldest first from 0."""
    return citation(num_events - row)


# Every word of the language that is one token of the tokenizer, besides the items.
VOCABULARY = (*(citation(number) for number in range(1, MAX_CITED + 1)), CATEGORY, COUNT, RAW, TASTE, KEEP, DROP)


def numbered_log(events: Sequence[Event], as_of: datetime) -> str:
    """The raw log, each event followed by its number; newest first.

    Texts name events oldest first, so with this order the state of an event can already hold what the text goes on
    with: the nearest newer event worth naming, which a causal model has read before it.
    """
    count = len(events)
    rows = reversed(list(enumerate(events)))
    return " ".join(f"{event_text(event, as_of)} {cited(row, count)}" for row, event in rows)


def resolve(text: str, events: Sequence[Event], facts: Facts) -> str:
    """The text with citations and markers filled in; what log and catalogue do not hold is dropped."""
    logged = {event.item_id for event in events}
    written: list[str] = []
    seen: set[int] = set()
    current: Event | None = None  # the event cited last
    for word in _WORD.findall(text):
        if word.startswith("<e") and word[2:-1].isdigit():
            row = len(events) - int(word[2:-1])
            current = events[row] if 0 <= row < len(events) and row not in seen else None
            seen.add(row)
            written.append(mention(current.item_id) if current else "")
        elif word.startswith("<item:"):
            written.append(word if mentioned(word)[0] in logged else "")
        elif word == TASTE:
            written.append(facts.taste(events))
        elif word in (CATEGORY, COUNT, RAW):
            written.append(_fact(word, current, events, facts))
        elif word not in (KEEP, DROP):
            written.append(word)
    return " ".join(word for word in written if word)


def _fact(marker: str, event: Event | None, events: Sequence[Event], facts: Facts) -> str:
    if event is None:
        return ""
    if marker == CATEGORY:
        return facts.category(event)
    return facts.count(event, events) if marker == COUNT else facts.raw(event)
