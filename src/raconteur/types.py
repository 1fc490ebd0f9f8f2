"""The nouns of the domain and the roles that act on them.

Records are frozen; roles are Protocols, so an implementation needs no base class. Tables stay Polars frames (see
`columns`); these records are what passes between the parts that read and write language.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a log, as it was written: nothing cleaned, nothing inferred."""

    item_id: str
    event_time: datetime  # aware, UTC
    event_type: str
    value: float | None = None  # rating, minutes or price; the data set's manifest says which
    session_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """A user's events, oldest first."""

    user_id: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A catalogue entry."""

    item_id: str
    title: str
    categories: tuple[str, ...] = ()
    description: str | None = None
    released: datetime | None = None
    available: bool = True


@dataclass(frozen=True, slots=True)
class Narrative:
    """A Verbalizer's text for one user, with all that its cache key needs."""

    user_id: str
    text: str
    as_of: datetime  # time of the newest event that the text covers
    verbalizer_version: str
    catalogue_version: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that a Retriever proposes."""

    item_id: str
    score: float
    source: str  # name of the retriever


class Verbalizer(Protocol):
    """Representer: turns histories into text. It never sees candidates, so a text cannot leak the answer."""

    def write(self, histories: Sequence[History]) -> list[str]:
        """One text per history, in the same order; an empty history gives an empty text."""
        ...


class Retriever(Protocol):
    """Scores the whole catalogue for users given by the items that they took, oldest first."""

    name: str
    item_ids: tuple[str, ...]  # the catalogue that the model knows, in the order of its score columns

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [histories, len(item_ids)], higher is better. Unknown items in a history are ignored."""
        ...


class Reasoner(Protocol):
    """Chooses among candidates after reading a text; the student answers by the same contract."""

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [texts, candidates], higher is better; a softmax over a row gives the choice's distribution.

        An item that the model does not know scores NaN.
        """
        ...
