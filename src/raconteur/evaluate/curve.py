"""Quality against cost: what each way of choosing between student and Reasoner gives at every share of asking.

A way is a priority: the requests of the highest are asked first, ties in equal parts. Constant priority is random
routing, the realised gain is the oracle. Every way but random runs the student on each request first, so asking costs
both. Intervals are paired: a resample draws users with all their requests, and serves all ways.
Axis letters: B requests, U users, G shares of requests that ask, S resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.evaluate.bootstrap import QUANTILES, Interval
from raconteur.evaluate.metrics import BoolArray
from raconteur.evaluate.routing import MIDDLE, REASONER, STUDENT, Requests
from raconteur.types import FloatArray

SHARES_G = np.linspace(0.0, 1.0, 101)
RANDOM, ORACLE = "random", "oracle"
CPT = (50, 80, 95)  # percent of the Reasoner's gain


@dataclass(frozen=True)
class Point:
    """One way of answering all requests."""

    name: str
    share: float  # of requests that ask the Reasoner
    ms: float  # mean cost of a request
    tokens: float
    ndcg: Interval
    recall: Interval
    difference: Interval  # in NDCG to always asking the Reasoner


@dataclass(frozen=True)
class Line:
    """One way of choosing, at every share; APGR and CPT are None where the Reasoner gains nothing."""

    name: str
    ms_G: FloatArray
    ndcg_G: FloatArray
    recall_G: FloatArray
    low_G: FloatArray  # of the difference in NDCG to always asking
    high_G: FloatArray
    apgr: Interval | None  # mean over shares of the gain recovered (PGR); random routing has .5
    cpt: Mapping[int, Interval] | None  # smallest share that recovers so many percent of the gain
    saving: Interval  # of cost, where the interval of the difference first holds or passes 0
    strict_saving: Interval  # where its lower end is above minus the tolerance


@dataclass(frozen=True)
class Curve:
    """What a set of requests says of all ways."""

    num_requests: int
    num_users: int
    tolerance: float
    points: tuple[Point, ...]
    lines: tuple[Line, ...]

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)


def draw_curve(
    requests: Requests,
    priorities: Mapping[str, FloatArray],
    *,
    chosen: Mapping[str, BoolArray] | None = None,
    tolerance: float,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Curve:
    """Draws the ways given, random routing and the oracle, and the models that answer everything alone.

    Args:
        priorities: by way, who is asked first [B].
        chosen: by name, which requests an operating point sends to the Reasoner [B].
        tolerance: loss in NDCG that the strict saving accepts.

    Raises:
        DataError: there is no request, or a priority is NaN.
    """
    if not len(requests):
        raise DataError("a curve over 0 requests does not exist; look at the split and lists of the table")
    sample = _Sample(requests, num_resamples, seed)
    gain_B = requests.gain()
    ways = {**priorities, RANDOM: np.zeros(len(gain_B)), ORACLE: gain_B}
    lines = tuple(_line(sample, name, priority_B, tolerance) for name, priority_B in ways.items())
    alone = [STUDENT, REASONER] + ([MIDDLE] if requests.middle_BN is not None and MIDDLE in requests.costs else [])
    points = [_alone(sample, name) for name in alone]
    points += [_routed(sample, name, asked_B) for name, asked_B in (chosen or {}).items()]
    return Curve(len(requests), sample.num_users, tolerance, tuple(points), lines)


def asked_shares(priority_B: FloatArray, shares_G: FloatArray = SHARES_G) -> FloatArray:
    """Probability [B, G] that a request is among the given share of highest priority; ties share their places.

    Raises:
        DataError: a priority is NaN.
    """
    if np.isnan(priority_B).any():
        raise DataError("a priority is NaN, so nothing says who is asked first; look at the scores")
    _, where_B, counts_X = np.unique(-priority_B, return_inverse=True, return_counts=True)
    before_B = (np.cumsum(counts_X) - counts_X)[where_B]
    return np.clip((shares_G * len(priority_B) - before_B[:, None]) / counts_X[where_B][:, None], 0.0, 1.0)


class _Sample:
    """Requests with the resamples of their users, drawn once for all ways."""

    def __init__(self, requests: Requests, num_resamples: int, seed: int) -> None:
        self.requests = requests
        _, self._user_B = np.unique(requests.user_ids_B, return_inverse=True)
        self.num_users = int(self._user_B.max()) + 1
        rng = np.random.default_rng(seed)
        draws = (rng.integers(self.num_users, size=self.num_users) for _ in range(num_resamples))
        self._counts_SU = np.stack([np.bincount(drawn, minlength=self.num_users) for drawn in draws]).astype(np.float64)
        self._sizes_S1 = (self._counts_SU @ np.bincount(self._user_B))[:, None]
        self.student_B, self.reasoner_B = requests.ndcg(requests.student_BN), requests.ndcg(requests.reasoner_BN)

    def means(self, outcomes_BG: FloatArray) -> FloatArray:
        """Means over requests [S, G] of each resample."""
        sums_UG = np.zeros((self.num_users, outcomes_BG.shape[1]))
        np.add.at(sums_UG, self._user_B, outcomes_BG)
        return self._counts_SU @ sums_UG / self._sizes_S1

    def interval(self, outcomes_B: FloatArray) -> Interval:
        return interval_of(float(outcomes_B.mean()), self.means(outcomes_B[:, None])[:, 0])


def interval_of(value: float, resampled_S: FloatArray) -> Interval:
    """A percentile interval; a resample without a value (NaN) counts against both ends."""
    undefined_S = np.isnan(resampled_S)
    low = np.quantile(np.where(undefined_S, -np.inf, resampled_S), QUANTILES[0], method="inverted_cdf")
    high = np.quantile(np.where(undefined_S, np.inf, resampled_S), QUANTILES[1], method="inverted_cdf")
    return Interval(value, float(low), float(high))


def _alone(sample: _Sample, name: str) -> Point:
    requests, cost = sample.requests, sample.requests.costs[name]
    scores_BN = {STUDENT: requests.student_BN, REASONER: requests.reasoner_BN, MIDDLE: requests.middle_BN}[name]
    assert scores_BN is not None
    return _point(sample, name, scores_BN, share=float(name == REASONER), ms=cost.ms, tokens=cost.tokens)


def _routed(sample: _Sample, name: str, asked_B: BoolArray) -> Point:
    requests, share = sample.requests, float(asked_B.mean())
    scores_BN = np.where(asked_B[:, None], requests.reasoner_BN, requests.student_BN)
    student, reasoner = requests.costs[STUDENT], requests.costs[REASONER]
    tokens = student.tokens + share * reasoner.tokens
    return _point(sample, name, scores_BN, share=share, ms=student.ms + share * reasoner.ms, tokens=tokens)


def _point(sample: _Sample, name: str, scores_BN: FloatArray, *, share: float, ms: float, tokens: float) -> Point:
    ndcg_B = sample.requests.ndcg(scores_BN)
    return Point(
        name,
        share,
        ms,
        tokens,
        ndcg=sample.interval(ndcg_B),
        recall=sample.interval(sample.requests.recall(scores_BN)),
        difference=sample.interval(ndcg_B - sample.reasoner_B),
    )


def _line(sample: _Sample, name: str, priority_B: FloatArray, tolerance: float) -> Line:
    requests, asked_BG = sample.requests, asked_shares(priority_B)
    ndcg_BG = _mixed(asked_BG, sample.student_B, sample.reasoner_B)
    recall_BG = _mixed(asked_BG, requests.recall(requests.student_BN), requests.recall(requests.reasoner_BN))
    difference_G = (ndcg_BG - sample.reasoner_B[:, None]).mean(axis=0)
    difference_SG = sample.means(ndcg_BG - sample.reasoner_B[:, None])
    low_G, high_G = np.quantile(difference_SG, QUANTILES, axis=0, method="inverted_cdf")
    ms_G = _costs(requests, name)
    apgr, cpt = _recovered(difference_G, difference_SG)
    saved_G = 1.0 - ms_G / requests.costs[REASONER].ms
    return Line(
        name,
        ms_G,
        ndcg_BG.mean(axis=0),
        recall_BG.mean(axis=0),
        low_G,
        high_G,
        apgr,
        cpt,
        saving=_saving(saved_G, difference_G, difference_SG, high_G - difference_G, least=0.0),
        strict_saving=_saving(saved_G, difference_G, difference_SG, low_G - difference_G, least=-tolerance),
    )


def _mixed(asked_BG: FloatArray, student_B: FloatArray, reasoner_B: FloatArray) -> FloatArray:
    return student_B[:, None] + asked_BG * (reasoner_B - student_B)[:, None]


def _costs(requests: Requests, name: str) -> FloatArray:
    """Mean ms of a request [G]; only a way that looks at nothing need not run the student where it asks."""
    student, reasoner = requests.costs[STUDENT].ms, requests.costs[REASONER].ms
    first_G = (1.0 - SHARES_G) * student if name == RANDOM else student
    return first_G + SHARES_G * reasoner


def _recovered(
    difference_G: FloatArray, difference_SG: FloatArray
) -> tuple[Interval, dict[int, Interval]] | tuple[None, None]:
    """APGR and CPT; PGR at a share is 1 - (what is missing to the Reasoner) / (what the student misses)."""
    if difference_G[0] >= 0.0:
        return None, None
    recovered_SG = _pgr(np.vstack([difference_G, difference_SG]))  # the first row is the estimate
    apgr_S = np.asarray(np.trapezoid(recovered_SG, SHARES_G, axis=1))
    cpt = {}
    for percent in CPT:
        reached_SG = recovered_SG >= percent / 100 - 1e-12
        share_S = np.where(np.isnan(apgr_S), np.nan, SHARES_G[reached_SG.argmax(axis=1)])
        cpt[percent] = interval_of(float(share_S[0]), share_S[1:])
    return interval_of(float(apgr_S[0]), apgr_S[1:]), cpt


def _pgr(difference_SG: FloatArray) -> FloatArray:
    """Share of the gain recovered [S, G]; NaN in resamples where the Reasoner gains nothing."""
    student_S1 = np.where(difference_SG[:, :1] < 0.0, difference_SG[:, :1], np.nan)
    return 1.0 - difference_SG / student_S1


def _saving(
    saved_G: FloatArray, difference_G: FloatArray, difference_SG: FloatArray, width_G: FloatArray, *, least: float
) -> Interval:
    """Cost saved at the smallest share whose end of the interval (the difference plus `width_G`) is at least `least`.

    Each resample gets the interval's width of the whole sample. Always asking reaches any such end, if nothing else.
    """
    reached_SG = np.vstack([difference_G, difference_SG]) + width_G >= least - 1e-12
    reached_SG[:, -1] = True
    saved_S = saved_G[reached_SG.argmax(axis=1)]
    return interval_of(float(saved_S[0]), saved_S[1:])
