"""A linear model of the next item: ridge regression from the faded history to what was taken next.

Fit: minimise |XB - Y|^2 + lambda |B|^2 over every step of every sequence, where a row of X is the history before the
step (the k-th newest item weighs .8^k) and Y marks the item taken; B = (X'X + lambda I)^-1 X'Y. Unlike EASE it knows
what comes after what (Choi et al., "Session-aware linear item-item models", 2021, call the kind SLIT).
Memory is two dense float32 [V, V] matrices: 800 MB for 10,000 items.
Axis letters: B histories, V items, T steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from raconteur.errors import ConfigError
from raconteur.retrieve import files
from raconteur.retrieve.encode import IntArray, encode, encode_newest, faded_sum, index_items, recency_query
from raconteur.types import FloatArray

DECAY = 0.8
NEWEST = 15  # .8^15 is .04: older items are left out
SEQUENCES = 400  # whose steps are counted at a time: bounds the sparse rows in memory


@dataclass(eq=False, slots=True)
class Linear:
    """Scores an item by the weighted sum of its links from the newest items of the history."""

    item_ids: tuple[str, ...]
    weights: FloatArray  # [V, V], row: item of the history, column: item that is scored
    name: str = field(default="linear", init=False)
    _index: dict[str, int] = field(init=False, repr=False)

    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        self._index = index_items(self.item_ids)
        # Row by row, as they are read: the solver gives columns.
        self.weights = np.ascontiguousarray(self.weights)

    @classmethod
    def fit(
        cls, sequences: Sequence[Sequence[str]], item_ids: Sequence[str], *, regularisation: float = 500.0
    ) -> "Linear":
        """Solves for the links of all items at once.

        Raises:
            ConfigError: the regularisation is not positive.
        """
        if not regularisation > 0:
            raise ConfigError(f"linear regularisation {regularisation} is not positive; 500 suits most logs")
        index = index_items(item_ids)
        rows = [row for row in encode(sequences, index) if len(row) > 1]
        gram_VV = np.zeros((len(index), len(index)), dtype=np.float32)
        after_VV = np.zeros_like(gram_VV)
        for start in range(0, len(rows), SEQUENCES):
            histories_TV, next_TV = _steps(rows[start : start + SEQUENCES], len(index))
            histories_VT = csr_array(histories_TV.T)
            gram_VV += (histories_VT @ histories_TV).toarray()
            after_VV += (histories_VT @ next_TV).toarray()
        gram_VV[np.diag_indices_from(gram_VV)] += np.float32(regularisation)
        return cls(tuple(item_ids), cho_solve(cho_factor(gram_VV, overwrite_a=True), after_VV, overwrite_b=True))

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [B, V], float32; an empty history scores 0 everywhere."""
        rows = encode_newest(histories, self._index, NEWEST)
        return faded_sum(rows, self.weights, decay=DECAY)

    def save(self, folder: Path) -> None:
        files.write(folder, self.kind, item_ids=self.item_ids, arrays={"weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        saved = files.read(folder, cls.kind, arrays=["weights"])
        return cls(saved.item_ids, saved.arrays["weights"])


def _steps(rows: Sequence[IntArray], num_items: int) -> tuple[csr_array, csr_array]:
    """Faded histories [T, V] and what was taken next [T, V]."""
    before = [row[max(0, step - NEWEST) : step][::-1] for row in rows for step in range(1, len(row))]
    taken_T = np.concatenate([row[1:] for row in rows])
    ones_T = np.ones(len(taken_T), dtype=np.float32)
    next_TV = csr_array((ones_T, (np.arange(len(taken_T)), taken_T)), shape=(len(taken_T), num_items))
    return recency_query(before, num_items, decay=DECAY), next_TV
