import numpy as np
import pytest

from raconteur.errors import DataError
from raconteur.policy.offpolicy import Logged, off_policy_values

NO, YES = False, True


def values(asked, propensity, reward, target, **options):
    logged = Logged(np.array(asked), np.array(propensity, dtype=float), np.array(reward, dtype=float))
    return off_policy_values(logged, np.array(target, dtype=float), **{"num_resamples": 200, **options})


def test_values_by_hand():
    # The target always asks. Weights 2, 4, 0, 0 on rewards 1, 0, 1, 1: IPS 2/4, self-normalised 2/6.
    found = values([YES, YES, NO, NO], [0.5, 0.25, 0.5, 0.75], [1, 0, 1, 1], [1, 1, 1, 1])
    assert found.ips.value == pytest.approx(0.5)
    assert found.snips.value == pytest.approx(1 / 3)
    # Predicted: .5 for the Reasoner (its mean reward), 1 for the student. .5 + (2 * .5 - 4 * .5) / 4 = .25
    assert found.doubly_robust.value == pytest.approx(0.25)
    assert found.num_effective == pytest.approx(36 / 20)


def test_values_of_the_logging_policy_are_the_mean_reward():
    found = values([YES, NO, YES, NO], [0.5] * 4, [1.0, 2.0, 3.0, 4.0], [0.5] * 4)
    assert found.ips.value == found.snips.value == found.doubly_robust.value == pytest.approx(2.5)


def test_values_with_a_true_prediction_have_no_spread_beyond_it():
    asked = np.arange(100) % 2 == 0
    predicted = np.tile([1.0, 3.0], (100, 1))
    found = values(asked, [0.5] * 100, np.where(asked, 3.0, 1.0), [1.0] * 100, predicted_BA=predicted)
    assert (found.doubly_robust.low, found.doubly_robust.value, found.doubly_robust.high) == (3.0, 3.0, 3.0)
    assert found.ips.high > 3.0


def test_values_from_exploration_find_the_truth():
    rng = np.random.default_rng(0)
    gain = rng.normal(size=20_000)  # asking is worth that much
    logged_asks, epsilon = gain > 1.0, 0.2
    asked = logged_asks ^ (rng.random(20_000) < epsilon)
    propensity = np.where(asked == logged_asks, 1 - epsilon, epsilon)
    reward = np.where(asked, gain, 0.0) + rng.normal(0, 0.1, 20_000)
    target = gain > 0.0
    truth = np.where(target, gain, 0.0).mean()
    found = values(asked, propensity, reward, target)
    for estimate in (found.ips, found.snips, found.doubly_robust):
        assert estimate.low < truth < estimate.high
    assert found.ips.high - found.ips.low < 0.2


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.5, float("nan")])
def test_values_propensity_that_is_none_is_refused(propensity):
    with pytest.raises(DataError, match="propensity"):
        values([YES, NO], [0.5, propensity], [1, 1], [1, 1])


def test_values_of_what_was_never_tried_are_refused():
    with pytest.raises(DataError, match="for 1 of 2 requests"):
        values([YES, NO], [1.0, 1.0], [1, 1], [1, 1])


def test_values_that_no_request_carries_are_refused():
    with pytest.raises(DataError, match="never did"):
        values([NO, NO], [0.5, 0.5], [1, 1], [1, 1])


@pytest.mark.parametrize(
    ("asked", "propensity", "reward", "target"),
    [([], [], [], []), ([YES], [0.5, 0.5], [1], [1]), ([YES], [0.5], [float("nan")], [1]), ([YES], [0.5], [1], [1.5])],
)
def test_values_malformed_logs_are_refused(asked, propensity, reward, target):
    with pytest.raises(DataError):
        values(asked, propensity, reward, target)


def test_values_same_seed_is_the_same_interval():
    arguments = ([YES, NO] * 20, [0.5] * 40, list(range(40)), [1.0] * 40)
    assert values(*arguments, seed=3) == values(*arguments, seed=3)
    assert values(*arguments, seed=3) != values(*arguments, seed=4)
