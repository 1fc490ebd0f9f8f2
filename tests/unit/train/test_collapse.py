"""When a training by rewards is stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.train.collapse import WINDOW, collapsed

SWING = [0.6, 0.4] * (WINDOW // 2)  # mean .5, variance .1 * .1 * 10 / 9


def test_collapsed_reward_far_below_its_start_by_hand():
    # The standard error of the difference to a constant is sqrt(.0111 / 10) = .0333: .2 is six of them, .1 is three.
    assert "fell to 0.300 from 0.500" in collapsed({"reward": SWING + [0.3] * WINDOW}, 1.0)
    assert collapsed({"reward": SWING + [0.4] * WINDOW}, 1.0) is None


def test_collapsed_small_fall_of_a_steady_reward_is_none():
    assert collapsed({"reward": [0.5] * WINDOW + [0.49] * WINDOW}, 1.0) is None
    assert collapsed({"reward": [0.5] * WINDOW + [0.47] * WINDOW}, 1.0)


def test_collapsed_needs_two_windows_that_do_not_overlap():
    assert collapsed({"reward": [0.9] * WINDOW + [0.0] * (WINDOW - 1)}, 1.0) is None


@pytest.mark.parametrize(
    ("name", "good", "bad", "word"),
    [
        ("empty", 0.9, 0.95, "empty"),
        ("at_limit", 0.9, 0.95, "limit"),
        ("distinct", 0.1, 0.05, "alike"),
        ("kl", 2.0, 2.5, "KL"),
    ],
)
def test_collapsed_figure_beyond_its_bound_gives_the_reason(name, good, bad, word):
    steady = [0.5] * WINDOW
    assert collapsed({"reward": steady, name: [good] * WINDOW}, 2.0) is None
    assert word in collapsed({"reward": steady, name: [bad] * WINDOW}, 2.0)
    assert collapsed({"reward": steady[1:], name: [bad] * (WINDOW - 1)}, 2.0) is None


def test_collapsed_one_bad_step_is_not_a_collapse():
    assert collapsed({"reward": [0.5] * 20, "empty": [0.0] * 19 + [1.0], "distinct": [0.8] * 19 + [0.0]}, 2.0) is None


@given(st.floats(0, 1), st.integers(1, 40))
def test_collapsed_a_reward_that_rises_never_is(start, num_steps):
    assert collapsed({"reward": [start + 0.01 * step for step in range(num_steps)]}, 1.0) is None
