"""EASE: a linear item-item model with a closed-form solution, asked with a history that fades with age.

Fit: minimise |X - XB|^2 + lambda |B|^2 with a zero diagonal over binary user-item rows X; then
B = I - P / diag(P) with P = (X'X + lambda I)^-1 (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019).
The query's weights, decay^k for the k-th newest item, are ours; decay 1 is plain EASE.
Memory is one dense float32 [V, V] matrix, filled, inverted and rescaled in place: 400 MB for 10,000 items.
Axis letters: B histories, V items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array

from raconteur.errors import ConfigError, TrainingError
from raconteur.retrieve import files
from raconteur.retrieve.encode import IntArray, distinct_newest_first, encode, faded_sum, index_items, recency_query
from raconteur.types import FloatArray

GRAM_ROWS = 512  # rows of X'X that exist as a sparse block at a time


@dataclass(eq=False, slots=True)
class Ease:
    """Scores an item by the weighted sum of its links to the items of the history."""

    item_ids: tuple[str, ...]
    weights: FloatArray  # [V, V], zero diagonal; row: item of the history, column: item that is scored
    decay: float = 0.9
    name: str = field(init=False)
    _index: dict[str, int] = field(init=False, repr=False)

    kind: ClassVar[str] = "ease"

    def __post_init__(self) -> None:
        if not 0.0 < self.decay <= 1.0:
            raise ConfigError(f"EASE decay {self.decay} is outside (0, 1]; 1 weighs the whole history alike")
        self.name = "ease" if self.decay == 1.0 else "ease_recent"
        self._index = index_items(self.item_ids)

    @classmethod
    def fit(
        cls,
        sequences: Sequence[Sequence[str]],
        item_ids: Sequence[str],
        *,
        regularisation: float = 500.0,
        decay: float = 0.9,
    ) -> "Ease":
        """Solves for the item-item weights; a repeated item counts once a user.

        Raises:
            ConfigError: the regularisation is not positive, or the decay is outside (0, 1].
        """
        if not regularisation > 0:
            raise ConfigError(f"EASE regularisation {regularisation} is not positive; 500 suits most logs")
        index = index_items(item_ids)
        weights_VV = _gram([np.unique(row) for row in encode(sequences, index)], len(index))
        weights_VV[np.diag_indices_from(weights_VV)] += np.float32(regularisation)
        _invert_in_place(weights_VV)
        weights_VV /= -np.diagonal(weights_VV).copy()
        np.fill_diagonal(weights_VV, 0.0)
        return cls(tuple(item_ids), weights_VV, decay)

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [B, V], float32; an empty history scores 0 everywhere."""
        rows = [distinct_newest_first(row) for row in encode(histories, self._index)]
        return faded_sum(rows, self.weights, decay=self.decay)

    def save(self, folder: Path) -> None:
        arrays = {"weights": self.weights}
        files.write(folder, self.kind, item_ids=self.item_ids, arrays=arrays, settings={"decay": self.decay})

    @classmethod
    def load(cls, folder: Path) -> "Ease":
        saved = files.read(folder, cls.kind, arrays=["weights"])
        return cls(saved.item_ids, saved.arrays["weights"], saved.settings["decay"])


def _gram(rows: Sequence[IntArray], num_items: int) -> FloatArray:
    """X'X [V, V] of binary rows, dense float32, filled a few rows at a time: a sparse one would be twice as large."""
    users_UV = recency_query(rows, num_items, decay=1.0)
    items_VU = csr_array(users_UV.T)
    gram_VV = np.empty((num_items, num_items), dtype=np.float32)
    for start in range(0, num_items, GRAM_ROWS):
        gram_VV[start : start + GRAM_ROWS] = (items_VU[start : start + GRAM_ROWS] @ users_UV).toarray()
    return gram_VV


def _invert_in_place(matrix_VV: FloatArray) -> None:
    """Replaces a symmetric positive definite matrix by its inverse, by Cholesky."""
    # The transpose of a C-ordered array is what Fortran expects, so LAPACK works on our memory and copies nothing.
    factor_VV, failed = lapack.spotrf(matrix_VV.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise TrainingError(f"EASE's matrix is not positive definite (LAPACK {failed}); raise the regularisation")
    lapack.spotri(factor_VV, lower=1, overwrite_c=1)
    for row in range(len(matrix_VV)):  # LAPACK fills one triangle
        matrix_VV[row + 1 :, row] = matrix_VV[row, row + 1 :]
