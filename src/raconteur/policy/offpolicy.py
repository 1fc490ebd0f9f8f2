"""What another policy would have earned, estimated from the log of the one that served.

IPS weighs each logged reward by (probability of what was done under the other policy) / (its logged propensity);
the self-normalised form divides by the sum of the weights, the doubly robust one corrects a prediction of the reward.
Rewards may be clicks, NDCG or ms: the estimates are in their unit. Axis letters: B requests, A rankers (0 the student,
1 the Reasoner).
"""

from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.evaluate.bootstrap import Interval
from raconteur.evaluate.curve import interval_of
from raconteur.evaluate.metrics import BoolArray
from raconteur.types import FloatArray


@dataclass(frozen=True)
class Logged:
    """What was done, with which probability, and what came of it."""

    asked_B: BoolArray  # the Reasoner was asked
    propensity_B: FloatArray  # of what was done, in (0, 1]
    reward_B: FloatArray


@dataclass(frozen=True)
class Values:
    """Mean reward of the other policy, by three estimators with bootstrap intervals over requests."""

    ips: Interval
    snips: Interval
    doubly_robust: Interval
    num_effective: float  # requests that carry the estimate, (sum of weights)^2 / sum of squared weights


def off_policy_values(
    logged: Logged,
    target_B: FloatArray,
    *,
    predicted_BA: FloatArray | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Values:
    """Values another policy on logged requests.

    Args:
        target_B: probability with which it asks the Reasoner.
        predicted_BA: predicted reward of either ranker; None: the mean logged reward of each.

    Raises:
        DataError: a propensity is 0 or no probability, or the other policy does what the log could never have done.
    """
    _check(logged, target_B)
    if predicted_BA is None:
        predicted_BA = np.broadcast_to(_mean_rewards(logged), (len(target_B), 2))
    asked_B = logged.asked_B.astype(np.intp)
    weight_B = np.where(logged.asked_B, target_B, 1.0 - target_B) / logged.propensity_B
    rest_B = logged.reward_B - predicted_BA[np.arange(len(asked_B)), asked_B]
    robust_B = (1.0 - target_B) * predicted_BA[:, 0] + target_B * predicted_BA[:, 1] + weight_B * rest_B
    terms_B3 = np.stack([weight_B * logged.reward_B, weight_B, robust_B], axis=1)
    ips, weight, robust = terms_B3.mean(axis=0)
    if weight == 0.0:
        raise DataError("the log never did what the other policy does; serve with route.explore above 0 for a while")
    ips_S, weight_S, robust_S = _resampled(terms_B3, num_resamples, seed).T
    snips_S = np.divide(ips_S, weight_S, out=np.full(len(ips_S), np.nan), where=weight_S > 0.0)
    return Values(
        ips=interval_of(float(ips), ips_S),
        snips=interval_of(float(ips / weight), snips_S),
        doubly_robust=interval_of(float(robust), robust_S),
        num_effective=float(weight_B.sum() ** 2 / (weight_B**2).sum()),
    )


def _check(logged: Logged, target_B: FloatArray) -> None:
    sizes = {len(logged.asked_B), len(logged.propensity_B), len(logged.reward_B), len(target_B)}
    if sizes == {0} or len(sizes) > 1:
        raise DataError(f"an estimate needs as many rewards and propensities as requests, got {sorted(sizes)}")
    if not ((logged.propensity_B > 0.0) & (logged.propensity_B <= 1.0)).all():
        raise DataError("a logged propensity is not in (0, 1]; what was done cannot have had no chance")
    if not ((target_B >= 0.0) & (target_B <= 1.0)).all() or not np.isfinite(logged.reward_B).all():
        raise DataError("a probability of the other policy is outside 0..1, or a reward is no finite number")
    other_B = np.where(logged.asked_B, 1.0 - target_B, target_B)  # probability of what was not done
    num_blind = int(((other_B > 0.0) & (logged.propensity_B == 1.0)).sum())
    if num_blind:
        raise DataError(
            f"for {num_blind} of {len(target_B)} requests the other policy may do what the log gave no chance: its "
            "propensity is 0, so no estimate exists; serve with route.explore above 0 for a while"
        )


def _mean_rewards(logged: Logged) -> FloatArray:
    """Mean reward of each ranker [A], 0 for one that never ranked."""
    masks = (~logged.asked_B, logged.asked_B)
    return np.array([logged.reward_B[mask].mean() if mask.any() else 0.0 for mask in masks])


def _resampled(terms_BX: FloatArray, num_resamples: int, seed: int) -> FloatArray:
    """Means [S, X] over requests drawn with replacement."""
    rng = np.random.default_rng(seed)
    size = len(terms_BX)
    draws = (rng.integers(size, size=size) for _ in range(num_resamples))
    return np.stack([np.bincount(drawn, minlength=size) @ terms_BX for drawn in draws]) / size
