"""Does a quantised build still give the answer of the model that it was made from? Pure measures and the gate.

Called by `train.quantise` for each build. Axis letters: B lists, N candidates.
"""

from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.evaluate.bootstrap import Interval, difference_interval
from raconteur.evaluate.metrics import IntArray, ndcg
from raconteur.types import FloatArray

PLACES = 10  # of NDCG


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How near a build stays to its original on held-out lists."""

    agreement: float  # share of equal first choices
    ndcg: Interval  # NDCG@10 of the build minus the original's


def fidelity(
    original_BN: FloatArray, build_BN: FloatArray, truth_B: IntArray, *, num_resamples: int = 1000, seed: int = 0
) -> Fidelity:
    """
    Raises:
        DataError: there is no list, or the two scored different ones.
    """
    gains = [ndcg(scores_BN, truth_B, k=PLACES) for scores_BN in (build_BN, original_BN)]
    interval = difference_interval(*gains, num_resamples=num_resamples, seed=seed)
    return Fidelity(agreement(original_BN, build_BN), interval)


def agreement(original_BN: FloatArray, build_BN: FloatArray) -> float:
    """Share of lists on which both put the same candidate first; NaN, a candidate that is not known, ranks last.

    Raises:
        DataError: there is no list, or the two scored different ones.
    """
    if original_BN.shape != build_BN.shape or not original_BN.size:
        raise DataError(f"agreement needs the same lists, got scores {original_BN.shape} and {build_BN.shape}")
    first = [np.nan_to_num(scores_BN, nan=-np.inf).argmax(axis=1) for scores_BN in (original_BN, build_BN)]
    return float(np.mean(first[0] == first[1]))


def refusal(measured: Fidelity, *, min_agreement: float, max_ndcg_loss: float) -> str | None:
    """Why a build must not be served, or None.

    As in `evaluate.gate`, the lower end of the interval is judged: a build that may lose more does not replace what
    works. Few lists give a wide interval, so they refuse a build rather than let it through.
    """
    if measured.agreement < min_agreement:
        return f"{measured.agreement:.1%} equal first choices; {min_agreement:.1%} are needed"
    if measured.ndcg.low < -max_ndcg_loss:
        return f"NDCG@10 may fall by {-measured.ndcg.low:.4f}; {max_ndcg_loss:.4f} are allowed"
    return None
