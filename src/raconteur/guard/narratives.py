"""What is kept of a narrative that a server of another make wrote: all but what log and catalogue show to be false.

A ranker reads the text and no customer does, so free words may stay, unlike in an explanation (`claims`). The text is
cut into pieces, sentences and the words said of one item, and a piece that makes the text false is left out whole.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raconteur.evaluate.statements import Catalogue, Reader
from raconteur.evaluate.wording import AGE, safe
from raconteur.guard.claims import Known
from raconteur.types import History

_NOBODY = ""  # id of no item, which has every category
_MENTION = re.compile(r"<item:[^<>\s]+>")
_STOPS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class Witness:
    """What is known besides the log.

    Attributes:
        facts: categories by item, and which events take one (`represent.facts.Facts`).
        titles: by item id.
        categories: all names in use, so that one that no item of the log has is read as a category, a false one.
    """

    facts: Catalogue
    titles: Mapping[str, str]
    categories: tuple[str, ...]

    @classmethod
    def of(cls, facts: Catalogue, titles: Mapping[str, str]) -> "Witness":
        return cls(facts, titles, tuple({name for names in facts.categories.values() for name in names or ()}))

    def borne_out(self, text: str, history: History) -> str:
        """The text without its false pieces, on one line; empty where nothing is left.

        Args:
            text: names items by mentions, or by titles in quotation marks; of a few thousand characters at most, since
                every piece is read together with those before it.
            history: the events that the writer was shown.
        """
        reader = self._reader(history)
        words = [word for word in map(_clean, _MENTION.sub(r" \g<0> ", text).split()) if word]
        if _is_true(reader, words, history):
            return " ".join(words)
        kept: list[str] = []
        for piece in _pieces(words):
            if _is_true(reader, [*kept, *piece], history):
                kept += piece
        return " ".join(kept)

    def _reader(self, history: History) -> Reader:
        """Of the titles it knows those of the log: another title is false there, whosever it is."""
        ids = {event.item_id for event in history.events}
        categories = {item_id: self.facts.categories.get(item_id) or () for item_id in ids}
        titles = {item_id: title for item_id in ids if (title := self.titles.get(item_id))}
        known = Known({**categories, _NOBODY: self.categories}, self.facts.is_take)
        return Reader([history], known, {**titles, _NOBODY: ""})


def _is_true(reader: Reader, words: Sequence[str], history: History) -> bool:
    return all(statement.true for statement in reader.read(" ".join(words), history).statements)


def _pieces(words: Sequence[str]) -> Iterator[list[str]]:
    """From a mention, an age or the begin of a sentence to the next; an age and the mention after it are one row."""
    piece: list[str] = []
    in_row = ended = False
    for word in words:
        is_mention, is_age = bool(_MENTION.fullmatch(word)), bool(AGE.fullmatch(word))
        if piece and not in_row and (is_mention or is_age or ended):
            yield piece
            piece = []
        piece.append(word)
        in_row = (in_row or is_age) and not is_mention
        ended = word.endswith(_STOPS)
    if piece:
        yield piece


def _clean(word: str) -> str:
    """Without control, format and unassigned characters, and without angle brackets outside a mention."""
    visible = "".join(sign for sign in word if unicodedata.category(sign)[0] != "C")
    return visible if _MENTION.fullmatch(visible) else safe(visible)
