import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.policy.thresholds import (
    LEAST_GAIN,
    budget_threshold,
    conformal_threshold,
    floor_threshold,
    safe_order,
)

GAINS = np.array([0.4, 0.1, 0.3, 0.2])
gains = st.lists(st.floats(-1, 1), min_size=1, max_size=40).map(np.array)


@pytest.mark.parametrize(("share", "asked"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.74, 2), (1.0, 4)])
def test_budget_threshold_asks_for_the_largest_gains(share, asked):
    threshold = budget_threshold(GAINS, share=share)
    assert sorted(GAINS[threshold <= GAINS].tolist()) == sorted(GAINS)[len(GAINS) - asked :]


def test_budget_threshold_never_asks_for_nothing():
    assert budget_threshold(np.array([0.2, -0.1, 0.0, -0.3]), share=0.9) == LEAST_GAIN
    assert budget_threshold(np.array([-0.2, -0.1]), share=1.0) == LEAST_GAIN


@given(gains, st.floats(0, 1))
def test_budget_threshold_any_gains_keep_the_budget(gain_B, share):
    assert (gain_B >= budget_threshold(gain_B, share=share)).mean() <= share + 1e-9


def test_floor_threshold_is_the_cheapest_that_keeps_enough():
    # by falling gain the realised ones are 4, 3, 1, 0 of 8: half is kept by one request, .8 by two, 1 by three
    realised = np.array([4.0, 0.0, 3.0, 1.0])
    assert floor_threshold(GAINS, realised, keep=0.5) == 0.4
    assert floor_threshold(GAINS, realised, keep=0.8) == 0.3
    assert floor_threshold(GAINS, realised, keep=1.0) == 0.2


def test_floor_threshold_without_a_gain_asks_nobody():
    assert floor_threshold(GAINS, -GAINS, keep=0.5) == math.inf
    assert floor_threshold(GAINS, GAINS, keep=0.0) == math.inf


@given(gains, st.floats(0.01, 1), st.data())
def test_floor_threshold_any_gains_keep_the_floor(gain_B, keep, data):
    realised_B = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=len(gain_B), max_size=len(gain_B))))
    threshold = floor_threshold(gain_B, realised_B, keep=keep)
    if realised_B.sum() > 0:
        assert realised_B[gain_B >= threshold].sum() >= keep * realised_B.sum() - 1e-9


def test_conformal_threshold_by_hand():
    # Without a fault 22 requests pass at alpha = delta = .1 (.9^22 = .098), 21 do not (.9^21 = .109).
    gain, harmed = np.arange(30.0), np.zeros(30, dtype=bool)
    passed = conformal_threshold(gain, harmed, np.array([22.0, 30.0]), alpha=0.1, delta=0.1)
    assert (passed.threshold, passed.num_student, passed.num_harmed) == (30.0, 30, 0)
    assert passed.p_value == pytest.approx(0.9**30)
    refused = conformal_threshold(gain, harmed, np.array([21.0, 30.0]), alpha=0.1, delta=0.1)
    assert refused.threshold == -math.inf


def test_conformal_threshold_stops_at_the_first_that_fails():
    # of 60 requests the 31st to 40th are harmed: 30 pass, 40 fail; 60 are not looked at, though 200 would pass
    gain = np.arange(400.0)
    harmed = (gain >= 30) & (gain < 40)
    order = np.array([30.0, 40.0, 400.0])
    assert conformal_threshold(gain, harmed, order, alpha=0.1, delta=0.1).threshold == 30.0
    assert conformal_threshold(gain, harmed, order[[0, 2]], alpha=0.1, delta=0.1).threshold == 400.0


def test_conformal_threshold_harmful_student_keeps_nothing():
    certified = conformal_threshold(np.arange(100.0), np.ones(100, dtype=bool), np.array([50.0]), alpha=0.1, delta=0.1)
    assert (certified.threshold, certified.num_student) == (-math.inf, 0)


def test_safe_order_rises_from_a_testable_share_to_all():
    order = safe_order(np.linspace(0, 1, 1001), num_held_out=1000, alpha=0.1, delta=0.1)
    assert order[0] == pytest.approx(4 * 21.85 / 1000, abs=0.002)  # log .1 / log .9 = 21.85
    assert (np.diff(order) > 0).all()
    assert order[-1] == math.inf


def test_conformal_promise_is_kept_over_many_draws():
    """Harm has chance .25 s for a gain s uniform on 0..1: keeping all below t harms .125 t, too much above t = .8."""
    alpha, delta, num_draws = 0.1, 0.1, 300
    rng = np.random.default_rng(0)
    broken, kept = 0, []
    for _ in range(num_draws):
        fitted, gain = rng.random(500), rng.random(500)
        harmed = rng.random(500) < 0.25 * gain
        order = safe_order(fitted, num_held_out=500, alpha=alpha, delta=delta)
        threshold = min(conformal_threshold(gain, harmed, order, alpha=alpha, delta=delta).threshold, 1.0)
        broken += 0.125 * threshold > alpha
        kept.append(max(threshold, 0.0))
    # Three standard errors of a rate of .1 over 300 draws are .052.
    assert broken / num_draws <= delta + 0.052
    assert np.mean(kept) > 0.3  # and it is not kept by keeping nothing


def test_at_most_is_the_riskiest_certified_threshold_that_is_no_riskier():
    found = conformal_threshold(
        np.array([0.0, 0.1, 0.2, 0.3] * 50),
        np.zeros(200, dtype=bool),
        np.array([0.1, 0.2, 0.3]),
        alpha=0.1,
        delta=0.1,
    )
    assert found.passed == (0.1, 0.2, 0.3)
    assert found.at_most(0.25) == 0.2
    assert found.at_most(0.2) == 0.2
    assert found.at_most(math.inf) == found.threshold == 0.3
    assert found.at_most(0.05) == -math.inf
