"""Choose 1 of N with a Retriever, and the slices of users that results are told for.

Axis letters: B users, N candidates.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from raconteur.errors import DataError
from raconteur.evaluate.metrics import BoolArray, IntArray
from raconteur.types import FloatArray, Retriever

BATCH = 512  # histories scored at once: bounds the [batch, catalogue] matrix
ALL, DISCOVERY, COLD, TAIL = "all", "discovery", "cold", "long_tail"
SLICES = (ALL, DISCOVERY, COLD, TAIL)


def score_candidates(
    retriever: Retriever, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
) -> FloatArray:
    """Scores [B, N] of each user's own candidates; an item that the retriever does not know scores NaN.

    Raises:
        DataError: the lists differ in number or length.
    """
    columns_BN = candidate_columns(retriever, candidates)
    if len(histories) != len(columns_BN):
        raise DataError(f"{len(histories)} histories but {len(columns_BN)} candidate lists; give one list a history")
    rows = [
        _pick(retriever.score(histories[start : start + BATCH]), columns_BN[start : start + BATCH])
        for start in range(0, len(histories), BATCH)
    ]
    return np.concatenate(rows) if rows else np.empty(columns_BN.shape)


def candidate_columns(retriever: Retriever, candidates: Sequence[Sequence[str]]) -> IntArray:
    """Score columns [B, N] of the candidates in a retriever, -1 for items that it does not know."""
    lengths = {len(row) for row in candidates}
    if len(lengths) > 1:
        raise DataError(f"candidate lists have {sorted(lengths)} items; all of one evaluation need the same number")
    index = {item_id: column for column, item_id in enumerate(retriever.item_ids)}
    columns = [[index.get(item_id, -1) for item_id in row] for row in candidates]
    return np.array(columns, dtype=np.int64).reshape(len(candidates), *lengths or (0,))


def slice_masks(
    item_ids: Sequence[str],
    *,
    discovery: npt.ArrayLike,
    num_targets: npt.ArrayLike,
    head: Collection[str],
    cold_targets: int,
) -> dict[str, BoolArray]:
    """Which evaluated users belong to which slice, in the order of the inputs.

    Args:
        item_ids: the true items.
        discovery: True where the user never touched the true item before.
        num_targets: earlier takes of the user.
        head: the popular items (`head_items`); a truth outside them is long tail.
        cold_targets: a user with at most this many earlier takes is cold.
    """
    return {
        ALL: np.ones(len(item_ids), dtype=bool),
        DISCOVERY: np.asarray(discovery, dtype=bool),
        COLD: np.asarray(num_targets) <= cold_targets,
        TAIL: np.array([item_id not in head for item_id in item_ids], dtype=bool),
    }


def head_items(takes: Mapping[str, int], *, share: float) -> frozenset[str]:
    """The smallest set of the most popular items that carries this share of all takes; ties go by item id."""
    ranked = sorted(takes, key=lambda item_id: (-takes[item_id], item_id))
    carried = np.cumsum([takes[item_id] for item_id in ranked])
    if not len(carried):
        return frozenset()
    return frozenset(ranked[: int(np.searchsorted(carried, share * carried[-1])) + 1])


def _pick(scores_BV: FloatArray, columns_BN: IntArray) -> FloatArray:
    picked_BN = np.take_along_axis(scores_BV, np.maximum(columns_BN, 0), axis=1).astype(np.float64)
    return np.where(columns_BN < 0, np.nan, picked_BN)
