"""Decides which model ranks a request: the student alone, or the Reasoner after it.

A pure function of the student's scores. The serving path calls it once a request; training and monitoring call it on
logged scores to see what another threshold would have done.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raconteur.types import FloatArray

Ranker = Literal["student", "reasoner"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Who ranks, why, and the signal that decided."""

    ranker: Ranker
    reason: str
    margin: float  # student's probability of its first choice minus that of its second, in [0, 1]


def top_two_margin(scores: FloatArray) -> float:
    """Gap between the two largest probabilities of a softmax over the scores of one candidate list.

    Args:
        scores: [N]; NaN marks an item that the model does not know and takes no part.

    Returns:
        0 where no score is known (nothing was chosen), 1 where one is (there is no rival).
    """
    known = np.asarray(scores, dtype=np.float64)
    known = known[~np.isnan(known)]
    if known.size < 2:
        return float(known.size)
    weights = np.exp(known - known.max())
    second, first = np.partition(weights, -2)[-2:]
    return float((first - second) / weights.sum())


def route(scores: FloatArray, *, min_margin: float) -> Decision:
    """Keeps the student's answer where it is sure, and asks the Reasoner where it is not.

    Args:
        scores: the student's scores of one candidate list, [N], finite or NaN.
        min_margin: `serve.route_margin`; 0 never asks the Reasoner unless the student knows no candidate.
    """
    margin = top_two_margin(scores)
    if np.isnan(scores).all():
        return Decision("reasoner", "the student knows none of the candidates", margin)
    if margin < min_margin:
        return Decision("reasoner", f"margin {margin:.3f} is under {min_margin:g}", margin)
    return Decision("student", f"margin {margin:.3f} is at least {min_margin:g}", margin)
