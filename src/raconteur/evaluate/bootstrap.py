"""Paired bootstrap intervals over users.

A resample draws users with replacement and keeps each user's outcomes of both arms together, so what makes a user easy
or hard for both cancels out of the difference. Percentile intervals, 95 %, seeded.
Axis letters: U users, K arms, S resamples.
"""

from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.types import FloatArray

QUANTILES = (0.025, 0.975)
CHUNK_DRAWS = 4_000_000  # users drawn at once: bounds memory at 32 MB of indices


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


def mean_interval(outcomes_U: FloatArray, *, num_resamples: int = 1000, seed: int = 0) -> Interval:
    """Mean outcome of one arm."""
    means_SK = _resampled_means(_columns(outcomes_U), num_resamples, seed)
    return _interval(float(outcomes_U.mean()), means_SK[:, 0])


def difference_interval(arm_U: FloatArray, base_U: FloatArray, *, num_resamples: int = 1000, seed: int = 0) -> Interval:
    """Mean of arm - base over the same users, in the outcome's own unit."""
    means_SK = _resampled_means(_columns(arm_U, base_U), num_resamples, seed)
    return _interval(float((arm_U - base_U).mean()), means_SK[:, 0] - means_SK[:, 1])


def relative_interval(arm_U: FloatArray, base_U: FloatArray, *, num_resamples: int = 1000, seed: int = 0) -> Interval:
    """Ratio of the means, minus 1: 0.125 is 12.5 % more than the base.

    Where the base of a resample is all zero, the gain is infinite (0 if the arm has nothing either).

    Raises:
        DataError: the base's mean is 0, so that no gain can be relative to it.
    """
    means_SK = _resampled_means(_columns(arm_U, base_U), num_resamples, seed)
    if base_U.mean() == 0.0:
        raise DataError("a relative gain over a base of 0 does not exist; use difference_interval")
    arm_S, base_S = means_SK.T
    with np.errstate(divide="ignore", invalid="ignore"):
        gains_S = np.where((arm_S == 0) & (base_S == 0), 0.0, arm_S / base_S - 1.0)
    return _interval(float(arm_U.mean() / base_U.mean() - 1.0), gains_S)


def _columns(*arms_U: FloatArray) -> FloatArray:
    """Outcomes [U, K].

    Raises:
        DataError: there is no user, the arms have different users, or an outcome is no number.
    """
    sizes = {np.shape(arm_U) for arm_U in arms_U}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1:
        raise DataError(f"paired arms need the same users, got shapes {sorted(sizes)}; align them by user first")
    outcomes_UK = np.stack(arms_U, axis=1).astype(np.float64)
    if not len(outcomes_UK):
        raise DataError("an interval over 0 users does not exist; leave the slice out")
    if not np.isfinite(outcomes_UK).all():
        raise DataError("an outcome is NaN or infinite; metrics give 0 for a miss, so look at the arm's scores")
    return outcomes_UK


def _resampled_means(outcomes_UK: FloatArray, num_resamples: int, seed: int) -> FloatArray:
    """Means [S, K]; one draw of users serves all arms."""
    rng = np.random.default_rng(seed)
    num_users = len(outcomes_UK)
    chunk = max(1, CHUNK_DRAWS // num_users)
    sizes = [min(chunk, num_resamples - start) for start in range(0, num_resamples, chunk)]
    return np.concatenate([outcomes_UK[rng.integers(num_users, size=(size, num_users))].mean(axis=1) for size in sizes])


def _interval(value: float, resampled_S: FloatArray) -> Interval:
    # An observed quantile, not an interpolated one: between a number and infinity there is nothing to interpolate.
    low, high = np.quantile(resampled_S, QUANTILES, method="inverted_cdf")
    return Interval(value, float(low), float(high))
