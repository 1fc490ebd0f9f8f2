"""Cuts a narrative into words and mentions, and these into clauses: which words are said of which item.

Syntax only; what the words state, and whether it is true, is told by `statements`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

Phrase = tuple[str, ...]
AGE = re.compile(r"(\d+)d")

_STOPS = (".", "!", "?")
_PUNCTUATION = ".!?,;:()[]\"'“”"
_MENTION = r"<item:(?P<item>[^<>\s]+)>"
_WORD = r"(?P<word>(?:(?!<item:)\S)+)"


@dataclass(frozen=True, slots=True)
class Word:
    text: str  # without the punctuation around it
    ends: bool = False  # a sentence ends after it

    @property
    def compared(self) -> str:
        return self.text.casefold()


@dataclass(frozen=True, slots=True)
class Mention:
    """
    Attributes:
        items: ids that it may mean; several where a title is shared, none where no item has the title.
    """

    text: str
    items: tuple[str, ...]
    quoted: bool  # a title in quotation marks


@dataclass(frozen=True, slots=True)
class Clause:
    """Words said of one mention (its number, from 0), or of none."""

    mention: int | None
    items: tuple[str, ...]
    is_row: bool  # a row of a log: an age first, the item last
    words: tuple[Word, ...]


def safe(text: str) -> str:
    """One line without angle brackets, as text of a log or catalogue stands in a narrative."""
    return " ".join(text.replace("<", "‹").replace(">", "›").split())


def phrase(text: str) -> Phrase:
    """Words as they are compared: without case and the punctuation around them."""
    words = (word.strip(_PUNCTUATION).casefold() for word in safe(text).split())
    return tuple(word for word in words if word)


class Phrases:
    """A vocabulary of word sequences."""

    def __init__(self, known: Iterable[Phrase]) -> None:
        self._known = frozenset(known) - {()}
        self._longest = max(map(len, self._known), default=0)

    def lengths(self, words: Phrase, start: int) -> list[int]:
        """Of how many words the phrases that begin at `start` are, longest first."""
        most = min(self._longest, len(words) - start)
        return [size for size in range(most, 0, -1) if words[start : start + size] in self._known]


def ids_by_title(titles: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Items of each title as it stands in a text, from titles by item id."""
    found: dict[str, tuple[str, ...]] = {}
    for item_id, title in titles.items():
        line = safe(title)
        found[line] = (*found.get(line, ()), item_id)
    return found


def tokens(text: str, titles: Mapping[str, Sequence[str]], *, logged: Sequence[str]) -> list[Word | Mention]:
    """
    Args:
        titles: ids by title; empty: words in quotation marks are words.
        logged: titles of the log as they stand in texts (`safe`); they may hold quotation marks themselves.
    """
    known = "|".join(re.escape(title) for title in sorted(logged, key=len, reverse=True))
    quoted = rf"“(?P<title>{known}{'|' if known else ''}[^”]*)”|" if titles else ""
    found: list[Word | Mention] = []
    for match in re.finditer(f"{quoted}{_MENTION}|{_WORD}", " ".join(text.split())):
        name, item, word = match.groupdict().get("title"), match["item"], match["word"]
        if name == "":  # a pair of quotation marks names nothing
            continue
        if name is not None:
            found.append(Mention(name, tuple(titles.get(safe(name), ())), quoted=True))
        elif item is not None:
            found.append(Mention(match[0], (unquote(item),), quoted=False))
        else:
            _add_word(found, word)
    return found


def clauses(found: Sequence[Word | Mention]) -> list[Clause]:
    """From an age to the next mention a row about that; else words are said of the mention before them."""
    parts: list[Clause] = []
    number, items = -1, tuple[str, ...]()  # of the mention before
    said: list[Word] = []
    for token in found:
        if isinstance(token, Word):
            said.append(token)
            continue
        ages = (place for place, word in enumerate(said) if AGE.fullmatch(word.text))
        begin = next(ages, len(said))
        parts.append(_said(said[:begin], number, items))
        number, items = number + 1, token.items
        parts.append(Clause(number, items, is_row=True, words=tuple(said[begin:])))
        said = []
    parts.append(_said(said, number, items))
    return [part for part in parts if part.words]


def _said(words: Sequence[Word], number: int, items: tuple[str, ...]) -> Clause:
    return Clause(None if number < 0 else number, items, is_row=False, words=tuple(words))


def _add_word(found: list[Word | Mention], raw: str) -> None:
    """Punctuation alone is no word; a stop is remembered at the word before, or by itself after a mention."""
    text, ends = raw.strip(_PUNCTUATION), raw.rstrip("\"'”)]").endswith(_STOPS)
    if text:
        found.append(Word(text, ends))
    elif ends and found and isinstance(found[-1], Word):
        found[-1] = replace(found[-1], ends=True)
    elif ends:
        found.append(Word("", ends=True))
