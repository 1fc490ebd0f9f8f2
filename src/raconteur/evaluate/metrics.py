"""Ranking metrics of one true item among candidates, one outcome a user.

Ties count in expectation: a truth tied with t - 1 others takes each of their t places with equal chance, so a model
that scores everything alike gets exactly what chance gets. A NaN score ranks below every number, tied with other NaNs.
With a single relevant item the ideal DCG is 1, so NDCG is the textbook 1 / log2(rank + 1).
Axis letters: B users, N candidates, R places.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from raconteur.errors import DataError
from raconteur.types import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def recall_at_1(scores_BN: FloatArray, truth_B: IntArray) -> FloatArray:
    """Chance [B] that the truth comes first: 1, 0, or 1 / t where t candidates share the top."""
    return hit_at(scores_BN, truth_B, k=1)


def hit_at(scores_BN: FloatArray, truth_B: IntArray, *, k: int, removed_BN: BoolArray | None = None) -> FloatArray:
    """Chance [B] that the truth is among the first k."""
    return _expected_gain(scores_BN, truth_B, removed_BN, lambda rank_R: (rank_R <= k).astype(np.float64))


def ndcg(
    scores_BN: FloatArray, truth_B: IntArray, *, k: int | None = None, removed_BN: BoolArray | None = None
) -> FloatArray:
    """Expected 1 / log2(rank + 1) [B], 0 beyond place k (None: the whole list counts)."""
    last = scores_BN.shape[1] if k is None else k
    return _expected_gain(scores_BN, truth_B, removed_BN, lambda rank_R: (rank_R <= last) / np.log2(rank_R + 1.0))


def mrr(scores_BN: FloatArray, truth_B: IntArray) -> FloatArray:
    """Expected 1 / rank [B]."""
    return _expected_gain(scores_BN, truth_B, None, lambda rank_R: 1.0 / rank_R)


def _expected_gain(
    scores_BN: FloatArray,
    truth_B: IntArray,
    removed_BN: BoolArray | None,
    gain: Callable[[IntArray], FloatArray],
) -> FloatArray:
    """Mean gain [B] over the places the truth may take; a removed candidate holds none, a removed truth gains 0."""
    _check(scores_BN, truth_B)
    kept_BN = np.ones(scores_BN.shape, dtype=bool) if removed_BN is None else ~removed_BN
    better_B, tied_B = _better_and_tied(scores_BN, truth_B, kept_BN)
    gains_R = gain(np.arange(1, scores_BN.shape[1] + 1))
    summed_R = np.concatenate([[0.0], np.cumsum(gains_R)])
    kept_truth_B = kept_BN[np.arange(len(truth_B)), truth_B]
    expected_B = (summed_R[better_B + tied_B] - summed_R[better_B]) / np.maximum(tied_B, 1)
    return np.where(kept_truth_B, expected_B, 0.0)


def _better_and_tied(scores_BN: FloatArray, truth_B: IntArray, kept_BN: BoolArray) -> tuple[IntArray, IntArray]:
    """How many kept candidates beat the truth [B], and how many share its score, itself included [B]."""
    truth_score_B1 = scores_BN[np.arange(len(truth_B)), truth_B][:, None]
    no_number_BN, truth_no_number_B1 = np.isnan(scores_BN), np.isnan(truth_score_B1)
    better_BN = (scores_BN > truth_score_B1) | (truth_no_number_B1 & ~no_number_BN)
    tied_BN = (scores_BN == truth_score_B1) | (truth_no_number_B1 & no_number_BN)
    return (better_BN & kept_BN).sum(axis=1), (tied_BN & kept_BN).sum(axis=1)


def _check(scores_BN: FloatArray, truth_B: IntArray) -> None:
    if scores_BN.ndim != 2 or truth_B.shape != scores_BN.shape[:1]:
        raise DataError(f"scores {scores_BN.shape} and truth {truth_B.shape} do not fit; expected [B, N] and [B]")
    if truth_B.size and not (truth_B.min() >= 0 and truth_B.max() < scores_BN.shape[1]):
        raise DataError(f"a truth index lies outside 0..{scores_BN.shape[1] - 1}; build the candidate lists again")
