import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.policy.calibration import (
    Calibration,
    Isotonic,
    calibration_error,
    first_is_right,
    fit_gain,
    fit_isotonic,
    fit_temperature,
)
from raconteur.policy.signals import NAMES, PROBABILITY, probabilities

NAN = float("nan")
pairs = st.lists(st.tuples(st.floats(-5, 5), st.floats(-1, 1)), min_size=1, max_size=40)


def test_temperature_of_two_candidates_by_hand():
    # scores 2 apart, right 3 times of 4: sigmoid(2 / T) = 3/4, so T = 2 / ln 3
    scores = np.tile([2.0, 0.0], (4, 1))
    assert fit_temperature(scores, np.array([0, 0, 0, 1])) == pytest.approx(2 / np.log(3), rel=1e-3)


def test_temperature_recovers_how_overconfident_scores_are():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 6))
    truth = np.array([rng.choice(6, p=row) for row in probabilities(logits)])
    assert fit_temperature(3.0 * logits, truth) == pytest.approx(3.0, rel=0.1)


def test_temperature_lists_that_teach_nothing_are_left_out():
    scores = np.array([[2.0, 0.0]] * 4 + [[NAN, 9.0], [1.0, 5.0]])
    assert fit_temperature(scores, np.array([0, 0, 0, 1, 0, -1])) == pytest.approx(2 / np.log(3), rel=1e-3)
    assert fit_temperature(scores, np.full(6, -1)) == 1.0


def test_temperature_of_a_faultless_student_stays_in_bounds():
    assert 0.05 <= fit_temperature(np.tile([2.0, 0.0], (4, 1)), np.zeros(4, dtype=np.int64)) < 0.1


def test_isotonic_pools_what_falls():
    # 1, 3, 2 -> 1, 2.5, 2.5; the pooled step is one knot in the middle of its x
    curve = fit_isotonic(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 2.0]))
    assert curve == Isotonic((0.0, 1.5), (1.0, 2.5))
    assert curve.at(np.array([-9.0, 0.75, 9.0])).tolist() == [1.0, 1.75, 2.5]


def test_isotonic_equal_x_count_once_with_their_weight():
    curve = fit_isotonic(np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert curve.knots_y == pytest.approx((0.5,))


@given(pairs)
def test_isotonic_never_falls_and_stays_among_its_values(found):
    x, y = np.array(found).T
    at = fit_isotonic(x, y).at(np.linspace(-6, 6, 50))
    assert (np.diff(at) >= -1e-9).all()
    assert y.min() - 1e-9 <= at.min()
    assert at.max() <= y.max() + 1e-9


@pytest.mark.parametrize(("x", "y"), [([], []), ([NAN], [1.0]), ([1.0], [np.inf])])
def test_isotonic_without_finite_pairs_is_refused(x, y):
    with pytest.raises(DataError, match="finite pairs"):
        fit_isotonic(np.array(x), np.array(y))


def test_calibration_error_by_hand():
    # two bins of two: |.15 - .5| and |.85 - 1|, mean .25
    probability, right = np.array([0.9, 0.1, 0.8, 0.2]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(probability, right, num_bins=2) == pytest.approx((0.35 + 0.15) / 2)


def test_calibration_error_bins_of_unequal_size_weigh_by_size():
    # three requests, two bins: {.0, .2} right 1 of 2, {.7} wrong
    error = calibration_error(np.array([0.0, 0.2, 0.7]), np.array([0.0, 1.0, 0.0]), num_bins=2)
    assert error == pytest.approx((2 * 0.4 + 0.7) / 3)


def test_calibration_error_over_nothing_is_refused():
    with pytest.raises(DataError, match="none"):
        calibration_error(np.array([]), np.array([]))


def test_calibration_makes_an_overconfident_student_honest():
    rng = np.random.default_rng(1)
    sure = rng.random(4000)
    right = (rng.random(4000) < sure**3).astype(float)  # much less often than it says
    signals = np.zeros((4000, len(NAMES)))
    signals[:, PROBABILITY] = sure
    calibration = Calibration(1.0, fit_isotonic(sure[:2000], right[:2000]), fit_gain(signals[:2000], right[:2000]))
    before = calibration_error(sure[2000:], right[2000:])
    after = calibration_error(first_is_right(calibration, signals[2000:]), right[2000:])
    assert before > 0.2
    assert after < 0.05


def test_gain_finds_who_profits():
    rng = np.random.default_rng(2)
    signals = rng.random((3000, len(NAMES)))
    expected = 0.3 - 0.5 * signals[:, 0]
    model = fit_gain(signals[:2000], expected[:2000] + rng.normal(0, 0.2, 2000))
    found = model.at(signals[2000:])
    assert np.corrcoef(found, expected[2000:])[0, 1] > 0.95
    assert found.mean() == pytest.approx(expected[2000:].mean(), abs=0.02)


def test_gain_of_one_request_is_that_of_its_row():
    rng = np.random.default_rng(3)
    signals = rng.random((100, len(NAMES)))
    model = fit_gain(signals, rng.normal(size=100))
    assert model.at(signals[7]) == pytest.approx(model.at(signals)[7])


def test_gain_signals_that_do_not_vary_have_no_say():
    signals = np.ones((60, len(NAMES)))
    model = fit_gain(signals, np.linspace(0, 1, 60))
    assert model.at(signals * 5) == pytest.approx(np.full(60, 0.5), abs=1e-4)


def test_gain_far_from_all_requests_is_not_extrapolated():
    rng = np.random.default_rng(4)
    signals = rng.random((500, len(NAMES)))
    gain = rng.uniform(-1, 1, 500)
    model = fit_gain(signals, gain)
    assert abs(model.at(np.full(len(NAMES), 1e9))) <= 1.0
