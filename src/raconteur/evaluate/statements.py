"""Reads a narrative back into the statements that it makes, and tells for each whether log and catalogue bear it out.

Knows nothing of how a text was written: it shares no code with the Verbalizers, so that a fault of theirs shows here.

| kind | form | true where |
|---|---|---|
| item | `<item:17>` | the item is in the log |
| title | `“Night Ferry”`, read only where titles are given | it is the title of an item of the log |
| category | words after an item | the item's catalogue entry has it |
| count | `x3` after an item | the user took the item so often |
| event | type and value, after an item or in a row | an event of the item has both, the value as far as it is written |
| period | `12d` in a row | an event of the item is so many whole days older than the newest of the log |
| context | `tv S1E3` in a row | an event of the item for which the rest of the row is true has these values |
| taste | `likes drama crime .` | of n categories stated: items taken have it, fewer than n others are more frequent |

Where words can be read in several ways, the longest reading counts, and of equally long ones one that is true. In a row
a true one counts first. All other words are unparsed: they are counted, and never held to be true or false.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from raconteur.evaluate.wording import (
    AGE,
    Clause,
    Mention,
    Phrase,
    Phrases,
    Word,
    clauses,
    ids_by_title,
    phrase,
    safe,
    tokens,
)
from raconteur.types import Event, History

ITEM, TITLE, CATEGORY, COUNT, TASTE = "item", "title", "category", "count", "taste"
EVENT, PERIOD, CONTEXT = "event", "period", "context"
KINDS = (ITEM, TITLE, CATEGORY, COUNT, TASTE, EVENT, PERIOD, CONTEXT)
MAX_EXPONENT = sys.float_info.max_10_exp
CUT = 24  # characters of a context value that a row holds at most

_LIKES = "likes"
_TIMES = re.compile(r"x(\d+)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


class Catalogue(Protocol):
    """What is known besides the log: categories of each item, and which events count as taking one."""

    @property
    def categories(self) -> Mapping[str, Sequence[str]]: ...

    def is_take(self, event: Event) -> bool: ...


@dataclass(frozen=True, slots=True)
class Statement:
    """
    Attributes:
        mention: number of the mention that it is about, from 0; None: it is about the user.
    """

    kind: str
    text: str
    true: bool
    mention: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Attributes:
        mentions: ids that each mention may mean; several where a title is shared, none where no item has it.
        unparsed: words that are no known statement, as compared.
        num_words: words of the text; a mention is one.
    """

    statements: tuple[Statement, ...]
    mentions: tuple[tuple[str, ...], ...]
    unparsed: tuple[str, ...]
    num_words: int


class Reader:
    """Reads texts in the vocabulary of one data set."""

    def __init__(self, histories: Sequence[History], facts: Catalogue, titles: Mapping[str, str] | None = None) -> None:
        """
        Args:
            histories: of all users: event types and context values in use.
            titles: titles by item id, of texts that name items so; None: words in quotation marks are words.
        """
        events = [event for history in histories for event in history.events]
        self._facts = facts
        self._types = Phrases({phrase(kind) for kind in {event.event_type for event in events}})
        self._contexts = Phrases({words for event in events for words in context_phrases(event)})
        self._categories = Phrases({phrase(name) for names in facts.categories.values() for name in names})
        self._titles = titles or {}
        self._ids_by_title = ids_by_title(self._titles)

    def read(self, text: str, history: History) -> Reading:
        """
        Args:
            history: the events that the Verbalizer was shown.
        """
        log = _log(history.events, self._facts)
        logged = {safe(self._titles[item_id]) for item_id in log.events if item_id in self._titles}
        found = tokens(text, self._ids_by_title, logged=sorted(logged))
        mentions = [token for token in found if isinstance(token, Mention)]
        parts = [part for clause in clauses(found) for part in self._parts(clause, log)]
        return Reading(
            statements=(
                *(_named(mention, number, log) for number, mention in enumerate(mentions)),
                *(part for part in parts if isinstance(part, Statement)),
            ),
            mentions=tuple(mention.items for mention in mentions),
            unparsed=tuple(part for part in parts if isinstance(part, str)),
            num_words=sum(1 for token in found if token.text),
        )

    def _parts(self, clause: Clause, log: "_Log") -> Iterator[Statement | str]:
        return self._row(clause, log) if clause.is_row else self._said(clause, log)

    def _row(self, clause: Clause, log: "_Log") -> Iterator[Statement | str]:
        """Age, type, value, context; each must hold for an event for which the fields before it hold."""
        words = tuple(word.compared for word in clause.words)
        left = log.of(clause.items)
        start = 0
        while start < len(words):
            best = max(self._fields(words, start, left), key=lambda field: (field.true, field.size), default=None)
            if best is None:
                yield words[start]
            else:
                yield best.statement(words, start, clause.mention)
                left = list(best.events) or left
            start += best.size if best else 1

    def _fields(self, words: Phrase, start: int, events: Sequence["_Logged"]) -> list["_Claim"]:
        """What the words from `start` may be in a row."""
        if start == 0:
            return [_period(words, start, events)]
        types = self._types.lengths(words, start)[:1] if start == 1 else []
        if types:
            return [_event(words, start, types[0], events)]
        sizes = self._contexts.lengths(words, start)
        return [
            _claim(CONTEXT, size, [event for event in events if words[start : start + size] in event.contexts])
            for size in sizes
        ]

    def _said(self, clause: Clause, log: "_Log") -> Iterator[Statement | str]:
        """What is said of the item before, until the end of the sentence, and of the user's taste."""
        words = tuple(word.compared for word in clause.words)
        about, start = clause.mention, 0
        while start < len(words):
            size = 1
            taste = self._taste(clause.words, start)
            if taste:
                size += sum(map(len, taste))
                yield from (Statement(TASTE, " ".join(name), log.is_taste(name, taste), None) for name in taste)
            else:
                claims = [] if about is None else self._claims(words, start, clause.items, log)
                best = max(claims, key=lambda claim: (claim.size, claim.true), default=None)
                if best is not None:
                    size = best.size
                    yield best.statement(words, start, about)
                elif words[start]:
                    yield words[start]
            if any(word.ends for word in clause.words[start : start + size]):
                about = None
            start += size

    def _claims(self, words: Phrase, start: int, items: Sequence[str], log: "_Log") -> list["_Claim"]:
        """What the words from `start` may state about an item."""
        events = log.of(items)
        claims = [_event(words, start, size, events) for size in self._types.lengths(words, start)[:1]]
        entry = {phrase(name) for item_id in items for name in self._facts.categories.get(item_id, ())}
        for size in self._categories.lengths(words, start):
            claims.append(_Claim(CATEGORY, size, words[start : start + size] in entry))
        if times := _TIMES.fullmatch(words[start]):
            claims.append(_Claim(COUNT, 1, any(log.takes[item_id] == int(times[1]) for item_id in items)))
        if AGE.fullmatch(words[start]):
            claims.append(_period(words, start, events))
        return claims

    def _taste(self, words: Sequence[Word], start: int) -> list[Phrase]:
        """Categories that follow `likes` in its sentence; none where the words state no taste."""
        compared = tuple(word.compared for word in words)
        found: list[Phrase] = []
        if compared[start] != _LIKES:
            return found
        place = start + 1
        while sizes := self._categories.lengths(compared, place):
            found.append(compared[place : place + sizes[0]])
            place += sizes[0]
            if words[place - 1].ends:
                break
        return found


def context_phrases(event: Event) -> list[Phrase]:
    """The event's context values as a text holds them, in the order of their keys."""
    values = (phrase(safe(event.context[key])[:CUT]) for key in sorted(event.context))
    return [words for words in values if words]


@dataclass(frozen=True, slots=True)
class _Logged:
    """An event as a text may state it."""

    type: Phrase
    value: float | None
    contexts: Sequence[Phrase]
    days: int  # whole days before the newest event


@dataclass(frozen=True, slots=True)
class _Claim:
    """A statement that the next words may make."""

    kind: str
    size: int  # words
    true: bool
    events: Sequence[_Logged] = ()  # those that bear it out, where it is about events

    def statement(self, words: Phrase, start: int, mention: int | None) -> Statement:
        return Statement(self.kind, " ".join(words[start : start + self.size]), self.true, mention)


@dataclass(frozen=True, slots=True)
class _Log:
    """A user's events by item, how often each item was taken, and how many taken items have a category."""

    events: Mapping[str, Sequence[_Logged]]
    takes: Counter[str]
    tastes: Counter[Phrase]

    def of(self, items: Sequence[str]) -> list[_Logged]:
        return [event for item_id in items for event in self.events.get(item_id, ())]

    def is_taste(self, name: Phrase, stated: Sequence[Phrase]) -> bool:
        """Of n categories stated, one is true if taken items have it, and fewer than n categories occur more often."""
        above = sum(count > self.tastes[name] for count in self.tastes.values())
        return self.tastes[name] > 0 and above < len(set(stated))


def _log(events: Sequence[Event], facts: Catalogue) -> _Log:
    by_item: dict[str, list[_Logged]] = {}
    newest = events[-1].event_time if events else None
    for event in events:
        days = max(0, (newest - event.event_time).days) if newest else 0
        logged = _Logged(phrase(event.event_type), event.value, context_phrases(event), days)
        by_item.setdefault(event.item_id, []).append(logged)
    takes = Counter(event.item_id for event in events if facts.is_take(event))
    entries = ({phrase(name) for name in facts.categories.get(item_id, ())} for item_id in takes)
    return _Log(by_item, takes, Counter(name for entry in entries for name in entry))


def _named(mention: Mention, number: int, log: _Log) -> Statement:
    true = any(item_id in log.events for item_id in mention.items)
    return Statement(TITLE if mention.quoted else ITEM, mention.text, true, number)


def _claim(kind: str, size: int, events: Sequence[_Logged]) -> _Claim:
    return _Claim(kind, size, bool(events), events)


def _period(words: Phrase, start: int, events: Sequence[_Logged]) -> _Claim:
    days = int(words[start][:-1])
    return _claim(PERIOD, 1, [event for event in events if event.days == days])


def _event(words: Phrase, start: int, size: int, events: Sequence[_Logged]) -> _Claim:
    """An event type of `size` words, and the number after it as its value."""
    typed = [event for event in events if event.type == words[start : start + size]]
    number = words[start + size] if start + size < len(words) else ""
    if not _NUMBER.fullmatch(number):
        return _claim(EVENT, size, typed)
    valued = [event for event in typed if event.value is not None and _is_written(event.value, number)]
    # Without a value in the log, the number may be the first word of the event's context.
    bare = [event for event in typed if event.value is None and any(value[0] == number for value in event.contexts)]
    return _claim(EVENT, size, bare) if bare and not valued else _claim(EVENT, size + 1, valued)


def _is_written(value: float, number: str) -> bool:
    """Whether the number is the value, rounded to the places that the number has."""
    places = Decimal(number).as_tuple().exponent
    assert isinstance(places, int)  # a finite number
    if places > MAX_EXPONENT:  # more than any float
        return False
    return abs(float(number) - value) <= 0.5 * 10.0**places + 1e-9 * max(1.0, abs(value))
