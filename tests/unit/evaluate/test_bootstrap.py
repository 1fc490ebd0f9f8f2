import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raconteur.errors import DataError
from raconteur.evaluate import bootstrap
from raconteur.evaluate.bootstrap import difference_interval, mean_interval, relative_interval


def test_mean_interval_constant_outcome_has_no_width():
    assert mean_interval(np.full(50, 0.25)) == bootstrap.Interval(0.25, 0.25, 0.25)


def test_mean_interval_of_a_coin_matches_the_binomial():
    # 400 users, half of them hits: standard error .025, so about .451 to .549
    interval = mean_interval(np.tile([0.0, 1.0], 200), num_resamples=4000)
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.451, abs=0.006)
    assert interval.high == pytest.approx(0.549, abs=0.006)


def test_difference_interval_is_paired():
    # users differ a lot, the arms by exactly .1 on each: paired, nothing is left to doubt
    base = np.random.default_rng(0).normal(size=200)
    interval = difference_interval(base + 0.1, base)
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert interval.excludes_zero


def test_difference_interval_equal_arms_is_zero_and_settles_nothing():
    base = np.tile([0.0, 1.0], 30)
    assert difference_interval(base, base) == bootstrap.Interval(0.0, 0.0, 0.0)
    assert not difference_interval(base, base).excludes_zero


def test_relative_interval_of_a_scaled_arm_is_the_scale():
    base = np.random.default_rng(0).random(100)
    interval = relative_interval(1.125 * base, base)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.125, 0.125, 0.125))


def test_relative_interval_rare_base_may_be_infinite_but_never_nan():
    arm, base = np.ones(5), np.array([1.0, 0.0, 0.0, 0.0, 0.0])  # a third of the resamples have no hit in the base
    interval = relative_interval(arm, base)
    assert interval.value == pytest.approx(4.0)
    assert interval.high == np.inf
    assert interval.low > -1.0


def test_relative_interval_base_of_zero_is_refused():
    with pytest.raises(DataError, match="use difference_interval"):
        relative_interval(np.ones(3), np.zeros(3))


def test_interval_same_seed_is_the_same_and_other_seed_is_not():
    outcomes = np.random.default_rng(0).random(100)
    assert mean_interval(outcomes, seed=1) == mean_interval(outcomes, seed=1)
    assert mean_interval(outcomes, seed=1) != mean_interval(outcomes, seed=2)


def test_interval_drawn_in_chunks_is_the_same(monkeypatch):
    outcomes = np.random.default_rng(0).random(30)
    whole = mean_interval(outcomes, num_resamples=101)
    monkeypatch.setattr(bootstrap, "CHUNK_DRAWS", 10)  # fewer than one resample: one at a time
    assert mean_interval(outcomes, num_resamples=101) == whole


@pytest.mark.parametrize(
    ("arm", "base", "message"),
    [([1.0, 0.0], [1.0], "same users"), ([], [], "0 users"), ([np.nan], [1.0], "NaN"), ([np.inf], [1.0], "infinite")],
)
def test_interval_outcomes_that_cannot_be_paired_are_refused(arm, base, message):
    with pytest.raises(DataError, match=message):
        difference_interval(np.array(arm), np.array(base))


outcomes_of = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1))


@settings(max_examples=50)
@given(outcomes_of)
def test_mean_interval_stays_within_the_outcomes(outcomes):
    interval = mean_interval(outcomes, num_resamples=50)
    assert outcomes.min() - 1e-12 <= interval.low <= interval.high <= outcomes.max() + 1e-12
