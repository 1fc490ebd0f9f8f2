"""From which expected gain on the Reasoner is asked: three answers, each from held-out requests.

A request asks the Reasoner if its gain is at least the threshold; -inf asks always, inf never.
`budget_threshold` and `floor_threshold` are the best trade-off on the requests given. `conformal_threshold` makes a
promise that holds for new requests (Learn then Test, Angelopoulos et al., 2021).
Axis letters: B requests, T thresholds.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from raconteur.evaluate.metrics import BoolArray
from raconteur.types import FloatArray

LEAST_GAIN = 1e-4  # expected NDCG under which asking is worth nothing
NUM_STEPS = 40
ROOM = 4  # the first test gets this many times the requests that could pass it without a single harm


@dataclass(frozen=True)
class Certified:
    """The riskiest threshold that passed, and the test that it passed last."""

    threshold: float  # -inf: none passed, everything goes to the Reasoner
    num_student: int = 0  # held-out requests that the student keeps
    num_harmed: int = 0  # of those, the ones that the Reasoner would have ranked better
    p_value: float = 1.0
    passed: tuple[float, ...] = ()  # all that passed, from the safest on: the promise holds for each of them

    def at_most(self, threshold: float) -> float:
        """The riskiest certified threshold that is no riskier than this one; -inf: there is none."""
        return max((one for one in self.passed if one <= threshold), default=-math.inf)


def budget_threshold(gain_B: FloatArray, *, share: float) -> float:
    """Asks for the requests of the largest expected gain, at most this share of them, and for none without a gain."""
    num_asked = math.floor(share * len(gain_B) + 1e-9)
    if num_asked >= len(gain_B):
        return LEAST_GAIN
    first_left_out = float(np.sort(gain_B)[::-1][num_asked])
    return max(LEAST_GAIN, float(np.nextafter(first_left_out, np.inf)))


def floor_threshold(gain_B: FloatArray, realised_B: FloatArray, *, keep: float) -> float:
    """The cheapest threshold that keeps this share of what the Reasoner gains in all; inf where it gains nothing.

    Args:
        realised_B: NDCG of the Reasoner minus that of the student.
        keep: 1 keeps all of the gain, which may be possible without asking always.
    """
    total = realised_B.sum()
    if total <= 0.0 or keep <= 0.0:
        return math.inf
    values_T, where_B = np.unique(-gain_B, return_inverse=True)  # from the largest gain down
    kept_T = np.cumsum(np.bincount(where_B, weights=realised_B))
    enough = np.flatnonzero(kept_T >= keep * total - 1e-12)
    return float(-values_T[enough[0]])


def safe_order(gain_B: FloatArray, *, num_held_out: int, alpha: float, delta: float) -> FloatArray:
    """Thresholds [T] to test, from the safest (the student keeps least) to the riskiest (it keeps all).

    They come from requests that take no part in the test. The first keeps enough requests for the test to have power:
    with fewer than log(delta) / log(1 - alpha) even a student without fault cannot pass.

    Args:
        gain_B: expected gains of the requests that the gain was fitted on.
        num_held_out: requests that the test will see.
    """
    needed = math.log(delta) / math.log(1.0 - alpha)
    first = min(1.0, max(ROOM * needed / max(num_held_out, 1), 0.02))
    shares = np.linspace(first, 1.0, NUM_STEPS)
    return np.append(np.quantile(gain_B, shares[:-1], method="higher"), np.inf)


def conformal_threshold(
    gain_B: FloatArray, harmed_B: BoolArray, order_T: FloatArray, *, alpha: float, delta: float
) -> Certified:
    """The riskiest threshold for which, with confidence 1 - delta, at most alpha of the student's requests are harmed.

    Thresholds are tested in the order given, each by the exact binomial test of "the share is alpha or more" at level
    delta, and testing stops at the first that fails: so no correction for many tests is due, and every threshold
    before the last that passed is certified with it. The requests must be independent draws (one a user) that took
    no part in fitting the gain or choosing the order.

    Args:
        harmed_B: the Reasoner's ranking would have been better by more than the stated margin.
    """
    best = Certified(-math.inf)
    passed: tuple[float, ...] = ()
    for threshold in order_T:
        kept_B = gain_B < threshold
        num_student, num_harmed = int(kept_B.sum()), int(harmed_B[kept_B].sum())
        p_value = float(binom.cdf(num_harmed, num_student, alpha)) if num_student else 1.0
        if p_value > delta:
            break
        passed = (*passed, float(threshold))
        best = Certified(passed[-1], num_student, num_harmed, p_value, passed)
    return best
