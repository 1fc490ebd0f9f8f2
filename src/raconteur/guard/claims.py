"""What may be shown of an explanation that a language model wrote: the sentences that log and catalogue bear out.

A sentence is kept whole or cut whole. It is kept if it states something, if all that it states is true (as
`evaluate.statements` reads it), and if every other word is one of a short list that claims nothing by itself. So what
cannot be verified is cut: feelings, reasons, times, negations, unknown numbers, any language but English, and with them
links, HTML, instructions and invisible characters. Nothing may be left; the reason built from evidence then stands.

Stricter than the reader of narratives, because a free sentence can say more than its statements:
- a title must be that of an item of the log, or of the item that is explained;
- `took` is held to be said of every title of the sentence, as is a past form of an event type (`played`, `watched`);
- so is a category, and a count of takes: words such as `both` or `shares` may carry them over.
A model is best asked for short sentences of this form: `You took “Night Ferry” twice. “Moon Mine” is crime.`
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raconteur.evaluate.statements import CATEGORY, COUNT, TITLE, Catalogue, Reader, Reading, Statement
from raconteur.evaluate.wording import phrase
from raconteur.types import Event, History

MAX_CHARS = 1000  # of an explanation that are read
MAX_CUT = 80  # characters kept of a sentence that was cut, for whoever looks into it

# Words that join statements and state nothing. Negations, `like`, `or`, `of`, `same`, and all words of time, quality or
# number are left out on purpose.
JOINING = frozenset(
    {"a", "also", "an", "and", "are", "as", "because", "both", "is", "it"}
    | {"share", "shared", "shares", "so", "the", "too", "with", "you"}
)
DASHES = frozenset("-–—")
TOOK = frozenset({"choose", "chose", "chosen", "pick", "picked", "take", "taken", "took"})

_COUNTS = {"once": "x1", "twice": "x2", "three times": "x3", "four times": "x4", "five times": "x5"}
_QUOTED = r"“[^”]*”"
_COUNT = re.compile(rf"{_QUOTED}|\b(?P<words>{'|'.join(_COUNTS)})\b|\b(?P<number>\d+) times\b", re.IGNORECASE)
_LIKE = re.compile(rf"{_QUOTED}|\b(?P<like>you like)\b", re.IGNORECASE)
_SENTENCE = re.compile(rf"(?:{_QUOTED}|[^.!?\n])+(?:[.!?]+|\n|$)")
_FOREIGN = re.compile(r"[<>]|https?:|www\.|://", re.IGNORECASE)
# `“Moon Mine” is also the “Jaws”`: one title said to be another.
_EQUATES = re.compile(rf"\b(?:is|are)\b(?:[^\w“”]|\b(?:{'|'.join(sorted(JOINING))})\b)*“", re.IGNORECASE)
_QUOTE = re.compile(r"[“”\"]")
_EXPONENT = re.compile(r"\de[+-]?\d", re.IGNORECASE)  # no way for a sentence to give a number


@dataclass(frozen=True, slots=True)
class Cut:
    """A sentence that is not shown; its beginning is kept for logs and monitoring, never for an answer."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Checked:
    """
    Attributes:
        text: the sentences that hold, on one line; empty where none does.
    """

    text: str
    cut: tuple[Cut, ...]


def checked(
    text: str, history: History, facts: Catalogue, titles: Mapping[str, str], *, about: str | None = None
) -> Checked:
    """
    Args:
        text: as the model wrote it; what follows the first `MAX_CHARS` characters is cut.
        history: the events that the explanation may speak of.
        facts: categories by item, and which events take one (`represent.facts.Facts`).
        titles: by item id.
        about: the item that is explained; it may be named without being in the log.
    """
    judge = _Judge.of(history, facts, titles, about)
    kept: list[str] = []
    cut: list[Cut] = []
    for sentence in _sentences(text[:MAX_CHARS]):
        fault = judge.fault(sentence)
        if fault is None:
            kept.append(sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.")
        else:
            cut.append(Cut(fault, _printable(sentence)[:MAX_CUT]))
    if len(text) > MAX_CHARS:
        cut.append(Cut("too long", _printable(text[MAX_CHARS : MAX_CHARS + MAX_CUT])))
    return Checked(" ".join(kept), tuple(cut))


@dataclass(frozen=True, slots=True)
class Known:
    """The catalogue of the items that a sentence may name: the same verdicts as with all, and quickly made."""

    categories: Mapping[str, Sequence[str]]
    is_take: Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the sentences about one user are judged by."""

    reader: Reader
    history: History
    known: Known
    about: str | None
    takes: Counter[str]  # by item
    past: Mapping[str, frozenset[str]]  # past form of an event type to the items with such an event

    @classmethod
    def of(cls, history: History, facts: Catalogue, titles: Mapping[str, str], about: str | None) -> "_Judge":
        ids = {event.item_id for event in history.events} | ({about} if about is not None else set())
        known = Known({one: facts.categories.get(one) or () for one in ids}, facts.is_take)
        items_of: dict[str, set[str]] = {}
        for event in history.events:
            for form in _past_forms(event.event_type):
                items_of.setdefault(form, set()).add(event.item_id)
        return cls(
            reader=Reader([history], known, {one: titles[one] for one in ids if titles.get(one)}),
            history=history,
            known=known,
            about=about,
            takes=Counter(event.item_id for event in history.events if facts.is_take(event)),
            past={form: frozenset(items) for form, items in items_of.items()},
        )

    def fault(self, sentence: str) -> str | None:
        """Why a sentence is not shown; None: it is."""
        if _printable(sentence) != sentence or _FOREIGN.search(sentence):
            return "markup, a link or an invisible character"
        if _EQUATES.search(sentence) or _EXPONENT.search(sentence) or _QUOTE.search(re.sub(_QUOTED, "", sentence)):
            return "says what cannot be checked"
        found = self.reader.read(_as_read(sentence), self.history)
        if not all(one.true or self._is_explained(one, found) for one in found.statements):
            return "states what log or catalogue do not bear out"
        if not self._hold_for_all(found):
            return "says of several titles what one of them is not"
        return self._doubt(found)

    def _is_explained(self, one: Statement, found: Reading) -> bool:
        return one.kind == TITLE and one.mention is not None and self.about in found.mentions[one.mention]

    def _hold_for_all(self, found: Reading) -> bool:
        """Whether every category and count that is stated holds for every title of the sentence."""
        categories = {phrase(one.text) for one in found.statements if one.kind == CATEGORY}
        counts = {int(one.text[1:]) for one in found.statements if one.kind == COUNT}
        return all(
            categories <= {phrase(name) for item_id in items for name in self.known.categories.get(item_id, ())}
            and counts <= {self.takes[item_id] for item_id in items}
            for items in found.mentions
        )

    def _doubt(self, found: Reading) -> str | None:
        """What the other words of a sentence say that is not known."""
        says_something = any(one.kind != TITLE for one in found.statements)
        for word in found.unparsed:
            if word in TOOK or word in self.past:
                items = self.takes.keys() if word in TOOK else self.past[word]
                if not found.mentions or not all(items & set(named) for named in found.mentions):
                    return "says of a title what the log does not"
                says_something = True
            elif word not in JOINING and word not in DASHES:
                return "says what cannot be checked"
        return None if says_something else "says nothing that can be checked"


def _sentences(text: str) -> list[str]:
    """Cut at stops and line ends outside quotation marks; straight marks are read as a pair of curved ones."""
    curved = re.sub(r'"([^"\n]*)"', r"“\1”", text)
    return [line for match in _SENTENCE.finditer(curved) if (line := " ".join(match[0].split()))]


def _as_read(sentence: str) -> str:
    """The sentence in the reader's words: `twice` is `x2`, `you like` is `likes`."""
    return _LIKE.sub(lambda match: "likes" if match["like"] else match[0], _COUNT.sub(_count, sentence))


def _count(match: re.Match[str]) -> str:
    if match["number"]:
        return f"x{match['number']}"
    return _COUNTS[match["words"].lower()] if match["words"] else match[0]


def _past_forms(event_type: str) -> tuple[str, ...]:
    """`played` of `play`, `rated` of `rate`; none of a type of several words."""
    word = event_type.casefold()
    return (f"{word}ed", f"{word}d") if word.isalpha() else ()


def _printable(text: str) -> str:
    """Without control, format, private and unassigned characters."""
    return "".join(sign for sign in text if unicodedata.category(sign)[0] != "C")
