"""Turns the student's signals into two numbers that mean what they say.

`probability`: the chance that the student's first choice is the true item (temperature, then isotonic).
`gain`: the NDCG that the Reasoner's ranking is expected to have over the student's (ridge, then isotonic).
Called by `train.calibrate`; served by `policy.router`. A record belongs to one pair of model versions.
Axis letters: B requests, N candidates, F signals.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize_scalar

from raconteur.errors import DataError
from raconteur.evaluate.metrics import IntArray
from raconteur.policy.signals import PROBABILITY
from raconteur.types import FloatArray

TEMPERATURES = (0.05, 20.0)
RIDGE = 10.0  # weight of the penalty, in requests
TIE_SLOPE = 1e-6  # NDCG a unit of the raw estimate: orders requests of one isotonic step without moving its value
FARTHEST = 4.0  # standard deviations from the mean that still make a difference
NUM_BINS = 15


@dataclass(frozen=True)
class Isotonic:
    """A non-decreasing curve: straight between its knots, flat outside them."""

    knots_x: tuple[float, ...]  # increasing
    knots_y: tuple[float, ...]  # non-decreasing

    def at(self, x: FloatArray) -> FloatArray:
        return np.asarray(np.interp(x, self.knots_x, self.knots_y))


@dataclass(frozen=True)
class GainModel:
    """Ridge regression on standardised signals and their squares, made honest by an isotonic curve."""

    means: tuple[float, ...]  # [F]
    sharpness: tuple[float, ...]  # [F], 1 / standard deviation; 0 where a signal did not vary: it takes no part
    weights: tuple[float, ...]  # [2 F]
    bias: float
    curve: Isotonic

    def at(self, signals_BF: FloatArray) -> FloatArray:
        """Expected NDCG [B] of asking the Reasoner minus that of not asking; requests with other signals differ."""
        raw_B = _basis(signals_BF, self.means, self.sharpness) @ np.array(self.weights) + self.bias
        return self.curve.at(raw_B) + TIE_SLOPE * raw_B


@dataclass(frozen=True)
class Calibration:
    """All that is fitted for one pair of model versions."""

    temperature: float
    first: Isotonic  # probability of the first choice -> chance that it is right
    gain: GainModel


def fit_temperature(scores_BN: FloatArray, truth_B: IntArray) -> float:
    """The temperature of the softmax with the smallest negative log-likelihood of the true items.

    The loss is convex in 1 / temperature. Lists whose true item is absent (-1) or unknown teach nothing here; without
    any other the temperature is 1.
    """
    rows = np.flatnonzero(truth_B >= 0)
    rows = rows[np.isfinite(scores_BN[rows, truth_B[rows]])]
    if not rows.size:
        return 1.0
    scores_RN = np.where(np.isfinite(scores_BN[rows]), scores_BN[rows].astype(np.float64), -np.inf)
    scores_RN -= scores_RN.max(axis=1, keepdims=True)
    truth_score_R = scores_RN[np.arange(rows.size), truth_B[rows]]

    def loss(sharpness: float) -> float:
        return float(np.mean(np.log(np.exp(sharpness * scores_RN).sum(axis=1)) - sharpness * truth_score_R))

    coldest, hottest = TEMPERATURES
    found = minimize_scalar(loss, bounds=(1 / hottest, 1 / coldest), method="bounded", options={"xatol": 1e-6})
    return float(1.0 / found.x)


def fit_isotonic(x_B: FloatArray, y_B: FloatArray) -> Isotonic:
    """Least-squares non-decreasing curve; each step is one knot at the mean of its x.

    Raises:
        DataError: there is nothing to fit, or a value is no finite number.
    """
    if not len(x_B) or not (np.isfinite(x_B).all() and np.isfinite(y_B).all()):
        raise DataError(f"an isotonic curve needs finite pairs, got {len(x_B)} of them; look at the scores")
    values_X, where_B, counts_X = np.unique(x_B, return_inverse=True, return_counts=True)
    means_X = np.bincount(where_B, weights=y_B) / counts_X
    fitted = isotonic_regression(means_X, weights=counts_X.astype(np.float64))
    starts = fitted.blocks[:-1]
    knots_x = np.add.reduceat(values_X * counts_X, starts) / np.add.reduceat(counts_X, starts)
    return Isotonic(tuple(knots_x.tolist()), tuple(fitted.x[starts].tolist()))


def fit_gain(signals_BF: FloatArray, gain_B: FloatArray) -> GainModel:
    """Fits the expected gain; signals that do not vary get no weight."""
    means_F, deviations_F = signals_BF.mean(axis=0), signals_BF.std(axis=0)
    sharpness_F = np.where(deviations_F > 1e-9, 1.0 / np.maximum(deviations_F, 1e-9), 0.0)
    basis_BD = _basis(signals_BF, tuple(means_F), tuple(sharpness_F))
    centre_D, bias = basis_BD.mean(axis=0), float(gain_B.mean())
    centred_BD = basis_BD - centre_D
    normal_DD = centred_BD.T @ centred_BD + RIDGE * np.eye(basis_BD.shape[1])
    weights_D = np.linalg.solve(normal_DD, centred_BD.T @ (gain_B - bias))
    bias -= float(centre_D @ weights_D)
    return GainModel(
        tuple(means_F.tolist()),
        tuple(sharpness_F.tolist()),
        tuple(weights_D.tolist()),
        bias,
        fit_isotonic(basis_BD @ weights_D + bias, gain_B),
    )


def first_is_right(calibration: Calibration, signals_BF: FloatArray) -> FloatArray:
    """Calibrated chance [B] that the student's first choice is the true item."""
    return calibration.first.at(signals_BF[..., PROBABILITY])


def calibration_error(probability_B: FloatArray, right_B: FloatArray, *, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error over bins of equal mass: mean |chance - share of hits|, weighted by the bins' sizes.

    Raises:
        DataError: there is no request, or the two do not fit.
    """
    if not len(probability_B) or probability_B.shape != right_B.shape:
        raise DataError(f"probabilities {probability_B.shape} and outcomes {right_B.shape} do not fit, or are none")
    order = np.argsort(probability_B, kind="stable")
    bins = np.array_split(order, min(num_bins, len(order)))
    gaps = [len(rows) * abs(probability_B[rows].mean() - right_B[rows].mean()) for rows in bins]
    return float(sum(gaps) / len(order))


def _basis(signals_BF: FloatArray, means: tuple[float, ...], sharpness: tuple[float, ...]) -> FloatArray:
    """Standardised signals and their squares [B, 2 F]; a request unlike all others is not extrapolated."""
    standard_BF = (signals_BF - np.array(means)) * np.array(sharpness)
    standard_BF = np.minimum(np.maximum(standard_BF, -FARTHEST), FARTHEST)
    return np.concatenate([standard_BF, standard_BF * standard_BF], axis=-1)
