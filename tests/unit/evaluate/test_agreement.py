"""The gate of quantised builds on hand-worked lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raconteur.errors import DataError
from raconteur.evaluate.agreement import Fidelity, agreement, fidelity, refusal
from raconteur.evaluate.bootstrap import Interval

ORIGINAL = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [2.0, 1.0, 0.0], [1.0, 0.0, 4.0]])
GATE = {"min_agreement": 0.99, "max_ndcg_loss": 0.005}


def near(agreed, low):
    return Fidelity(agreed, Interval(low / 2, low, 0.001))


def test_agreement_one_list_of_four_turned_is_three_quarters():
    build = ORIGINAL.copy()
    build[3] = [9.0, 0.0, 4.0]
    assert agreement(ORIGINAL, build) == 0.75


def test_agreement_unknown_candidate_ranks_last_in_both():
    original, build = np.array([[np.nan, 1.0], [np.nan, np.nan]]), np.array([[np.nan, -9.0], [np.nan, np.nan]])
    assert agreement(original, build) == 1.0


def test_fidelity_truth_falls_from_first_to_second_on_one_list_of_four():
    build = ORIGINAL.copy()
    build[0] = [1.0, 0.5, 2.0]  # the truth was first, and is second now
    measured = fidelity(ORIGINAL, build, np.array([0, 1, 0, 2]), num_resamples=200)
    assert measured.agreement == 0.75
    assert measured.ndcg.value == pytest.approx((1 / np.log2(3) - 1) / 4)
    assert measured.ndcg.low <= measured.ndcg.value <= measured.ndcg.high <= 0.0


@given(arrays(np.float64, (5, 4), elements=st.floats(-9, 9)), st.integers(0, 3))
def test_fidelity_of_the_original_with_itself_is_perfect(scores, truth):
    measured = fidelity(scores, scores, np.full(5, truth), num_resamples=20)
    assert (measured.agreement, measured.ndcg) == (1.0, Interval(0.0, 0.0, 0.0))
    assert refusal(measured, min_agreement=1.0, max_ndcg_loss=0.0) is None


@given(arrays(np.float64, (6, 3), elements=st.floats(-9, 9)), st.permutations(range(6)))
def test_agreement_order_of_lists_does_not_matter(scores, order):
    build = scores + np.linspace(0, 1, 18).reshape(6, 3)
    assert agreement(scores, build) == pytest.approx(agreement(scores[order], build[order]))


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (near(0.99, -0.005), None),
        (near(0.9899, 0.0), "99.0% equal first choices; 99.0% are needed"),
        (near(1.0, -0.0051), "may fall by 0.0051; 0.0050 are allowed"),
        (near(0.5, -0.5), "50.0% equal first choices"),  # the first reason is given
    ],
)
def test_refusal_looks_at_agreement_then_at_the_lower_end(measured, words):
    said = refusal(measured, **GATE)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("build", [ORIGINAL[:2], np.zeros((4, 2))])
def test_agreement_other_lists_are_refused(build):
    with pytest.raises(DataError, match="same lists"):
        agreement(ORIGINAL, build)


def test_agreement_without_lists_is_refused():
    with pytest.raises(DataError, match="same lists"):
        agreement(np.zeros((0, 3)), np.zeros((0, 3)))
