"""What did others take right after they were where this user is now?

Every place of the training log that holds one of the user's newest items votes for the items around it. A place counts
by how much of the user's own recent history stands around it, cubed, so that one long shared stretch outweighs many
chance meetings; an item counts by its distance to the place, and ten times more after it than before it. This is
session-kNN (Ludewig & Jannach, "Evaluation of session-based recommendation algorithms", 2018) with windows of one long
log in place of sessions. The model is the log itself, so nothing is trained.
Axis letters: B histories, V items, E places of the log, O places that match, W window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from raconteur.retrieve import files
from raconteur.retrieve.encode import IntArray, encode, encode_newest, index_items
from raconteur.types import FloatArray

WINDOW = 20  # places to each side that are compared, and that receive votes
ASKED_ITEMS, ASKED_DECAY = 3, 0.5  # newest items that are looked up in the log; the k-th weighs .5^k
SHARED_DECAY = 0.8  # weight of the k-th newest item of the history when a place is compared with it
SHARPNESS = 3.0
GAP_DECAY, BEFORE = 0.75, 0.1
MAX_PLACES = 200  # of one item, the last ones of the log: bounds the time that a very popular item takes

OFFSETS = np.arange(-WINDOW, WINDOW + 1)
VOTES_W = (GAP_DECAY ** (np.abs(OFFSETS) - 1.0) * np.select([OFFSETS > 0, OFFSETS < 0], [1.0, BEFORE])).astype("f4")


@dataclass(eq=False, slots=True)
class Neighbours:
    """Scores an item by the votes of the places in other logs that look like the end of this one."""

    item_ids: tuple[str, ...]
    log: npt.NDArray[np.int32]  # [E], all sequences one after the other; V fills a window's width between them
    name: str = field(default="neighbours", init=False)
    _index: dict[str, int] = field(init=False, repr=False)
    _places: IntArray = field(init=False, repr=False)  # places of the log, by item
    _starts: IntArray = field(init=False, repr=False)  # [V + 2], where each item's places begin

    kind: ClassVar[str] = "neighbours"

    def __post_init__(self) -> None:
        self._index = index_items(self.item_ids)
        self._places = np.argsort(self.log, kind="stable")
        self._starts = np.searchsorted(self.log[self._places], np.arange(len(self.item_ids) + 2))

    @classmethod
    def fit(cls, sequences: Sequence[Sequence[str]], item_ids: Sequence[str]) -> "Neighbours":
        fence = np.full(WINDOW, len(item_ids))
        rows = [np.concatenate([fence, row]) for row in encode(sequences, index_items(item_ids))]
        return cls(tuple(item_ids), np.concatenate([*rows, fence]).astype(np.int32))

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Votes [B, V], float32; an empty history scores 0 everywhere."""
        scores_BV = np.zeros((len(histories), len(self.item_ids)), dtype=np.float32)
        for votes_V, newest_first in zip(scores_BV, encode_newest(histories, self._index, WINDOW), strict=True):
            votes_V[:] = self._votes(newest_first)
        return scores_BV

    def _votes(self, newest_first: IntArray) -> FloatArray:
        num_items = len(self.item_ids)
        shared_V = np.zeros(num_items + 1, dtype=np.float32)  # the last entry is the fence, shared by nobody
        shared_V[newest_first[::-1]] = SHARED_DECAY ** np.arange(len(newest_first))[::-1]
        votes_V = np.zeros(num_items + 1)
        for age, item in enumerate(newest_first[:ASKED_ITEMS]):
            places_O = self._places[self._starts[item] : self._starts[item + 1]][-MAX_PLACES:]
            around_OW = self.log[places_O[:, None] + OFFSETS]
            alike_O = shared_V[around_OW].sum(axis=1) ** SHARPNESS * ASKED_DECAY**age
            votes_OW = alike_O[:, None] * VOTES_W
            votes_V += np.bincount(around_OW.ravel(), weights=votes_OW.ravel(), minlength=num_items + 1)
        return votes_V[:num_items]

    def save(self, folder: Path) -> None:
        files.write(folder, self.kind, item_ids=self.item_ids, arrays={"log": self.log})

    @classmethod
    def load(cls, folder: Path) -> "Neighbours":
        saved = files.read(folder, cls.kind, arrays=["log"])
        return cls(saved.item_ids, saved.arrays["log"])
