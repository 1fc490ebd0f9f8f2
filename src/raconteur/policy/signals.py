"""What the router sees of a request: how sure the student is, and how well user and candidates are known.

One computation serves a request on the serving path and a table of requests in calibration, so both see the same
numbers. Nothing here raises on odd scores; what is odd is said by `oddity` and stands in the decision's reason:

    no candidate                 margin 0, entropy 1, probability 0
    no known score               the same; a score that is NaN or infinite is unknown and takes no part
    one known score              margin 1, entropy 0, probability 1: there is no rival
    all known scores equal       margin 0, entropy 1, probability 1 / N: nothing was chosen
    fewer candidates than asked  decided on what there is

Axis letters: B requests, N candidates, F signals.
"""

from dataclasses import dataclass

import numpy as np

from raconteur.evaluate.metrics import BoolArray, IntArray
from raconteur.types import FloatArray

COLD_EVENTS = 5  # a user with at most this many events is cold
NAMES = ("margin", "entropy", "probability", "log_events", "cold_user", "cold_share", "unknown_share")
MARGIN, PROBABILITY = NAMES.index("margin"), NAMES.index("probability")
NO_CANDIDATE, ONE_CANDIDATE = "there is no candidate", "there is one candidate"
NONE_KNOWN = "the student knows none of the candidates"
ALL_EQUAL = "the student scores all candidates alike"


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """All that a decision depends on; the prediction log holds the same fields."""

    scores: FloatArray  # of the student on the candidates, [N]; NaN: it does not know the item
    num_events: int = 0  # in the user's history
    num_cold: int = 0  # candidates that nobody took in training
    request_id: str = ""  # decides whether this request explores; without one it does not
    num_asked: int = 0  # places to fill; 0: not said
    wants_query: bool = False  # a free text came with the request
    wants_explanation: bool = False
    latency_left_ms: float | None = None  # None: no deadline
    load: float = 0.0  # of the Reasoner, 0..1
    cost_left: float | None = None  # calls of the Reasoner that the budget still pays for; None: no budget


def signals_of(request: RouteRequest, *, temperature: float = 1.0) -> FloatArray:
    """The signals [F] of one request, in the order of `NAMES`."""
    scores_N = np.asarray(request.scores, dtype=np.float32)
    return signal_table(
        scores_N[None, :],
        num_candidates_B=np.array([scores_N.size]),
        num_events_B=np.array([request.num_events]),
        num_cold_B=np.array([request.num_cold]),
        temperature=temperature,
    )[0]


def signal_table(
    scores_BN: FloatArray,
    *,
    num_candidates_B: IntArray,
    num_events_B: IntArray,
    num_cold_B: IntArray,
    temperature: float = 1.0,
) -> FloatArray:
    """Signals [B, F] of many requests, in the order of `NAMES`.

    Args:
        scores_BN: the student's, at the precision of the log (float32); lists shorter than N are filled with NaN.
        num_candidates_B: lengths of the lists, the filling left out.
        temperature: divides the scores before the softmax, > 0.
    """
    known_BN, shifted_BN, weights_BN = _softmax_parts(scores_BN, temperature)
    num_known_B, sums_B = known_BN.sum(axis=1), weights_BN.sum(axis=1)
    total_B = np.maximum(sums_B, 1.0)  # the largest weight is 1; 0 where nothing is known
    first_B = (num_known_B > 0) / total_B
    second_B = np.partition(weights_BN, -2, axis=1)[:, -2] / total_B if weights_BN.shape[1] > 1 else 0.0
    nats_B = np.log(total_B) - (weights_BN * shifted_BN).sum(axis=1) / total_B
    length_B = np.maximum(num_candidates_B, 1)
    signals_BF = np.empty((len(scores_BN), len(NAMES)))
    signals_BF[:, 0] = np.where(num_known_B == 1, 1.0, first_B - second_B)
    signals_BF[:, 1] = np.where(num_known_B == 0, 1.0, nats_B / np.log(np.maximum(num_known_B, 2)))
    signals_BF[:, 2] = first_B
    signals_BF[:, 3] = np.log1p(np.maximum(num_events_B, 0))
    signals_BF[:, 4] = num_events_B <= COLD_EVENTS
    signals_BF[:, 5] = np.minimum(np.maximum(num_cold_B, 0) / length_B, 1.0)
    signals_BF[:, 6] = 1.0 - num_known_B / length_B
    return signals_BF


def probabilities(scores_BN: FloatArray, *, temperature: float = 1.0) -> FloatArray:
    """Softmax of the known scores [B, N], 0 for the others."""
    _, _, weights_BN = _softmax_parts(scores_BN, temperature)
    return np.asarray(weights_BN / np.maximum(weights_BN.sum(axis=1, keepdims=True), 1.0))


def oddity(request: RouteRequest) -> str:
    """What is unusual about a request's scores, in words; empty where nothing is."""
    scores = np.asarray(request.scores, dtype=np.float32)
    known = scores[np.isfinite(scores)]
    if not scores.size:
        return NO_CANDIDATE
    if scores.size == 1:
        return ONE_CANDIDATE
    if not known.size:
        return NONE_KNOWN
    if known.size == 1:
        return f"the student knows 1 of {scores.size} candidates"
    if known.min() == known.max():
        return ALL_EQUAL
    if known.size < scores.size:
        return f"the student knows {known.size} of {scores.size} candidates"
    if scores.size < request.num_asked:
        return f"{scores.size} candidates for {request.num_asked} places"
    return ""


def num_known(request: RouteRequest) -> int:
    """Candidates of which the student said something."""
    return int(np.isfinite(request.scores).sum())


def _softmax_parts(scores_BN: FloatArray, temperature: float) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Which scores are known; these less the largest, over the temperature (0 elsewhere); and e to that (0 elsewhere).

    In float64, from the float32 that the log keeps.
    """
    given_BN = np.asarray(scores_BN, dtype=np.float32).astype(np.float64)
    known_BN = np.isfinite(given_BN)
    top_B1 = np.where(known_BN, given_BN, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    shifted_BN = np.subtract(given_BN, top_B1, out=np.zeros(given_BN.shape), where=known_BN) / temperature
    return known_BN, shifted_BN, np.exp(shifted_BN) * known_BN
