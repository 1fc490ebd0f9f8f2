import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raconteur.policy.router import route, top_two_margin

NAN = float("nan")
scores_of_a_list = hnp.arrays(
    np.float32,
    st.integers(1, 30),
    elements=st.one_of(st.floats(-80, 80, width=32), st.just(NAN)),
)


def test_margin_of_two_scores_is_the_gap_of_their_probabilities():
    # softmax([ln 3, ln 1]) = [3/4, 1/4]
    assert top_two_margin(np.log([3.0, 1.0])) == pytest.approx(0.5)


def test_margin_of_four_scores_looks_at_the_first_two_only():
    # softmax of ln [5, 3, 1, 1] = [.5, .3, .1, .1]; the order does not matter
    assert top_two_margin(np.log([1.0, 5.0, 1.0, 3.0])) == pytest.approx(0.2)


def test_margin_unknown_items_take_no_part():
    assert top_two_margin(np.array([NAN, math.log(3.0), NAN, 0.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(("scores", "margin"), [([], 0.0), ([NAN, NAN], 0.0), ([2.0], 1.0), ([NAN, -4.0], 1.0)])
def test_margin_without_a_rival_is_one_and_without_a_choice_zero(scores, margin):
    assert top_two_margin(np.array(scores)) == margin


def test_margin_of_huge_scores_does_not_overflow():
    assert top_two_margin(np.array([1e4, 0.0])) == 1.0


def test_route_sure_student_keeps_the_request():
    decision = route(np.log([3.0, 1.0]), min_margin=0.4)
    assert (decision.ranker, decision.reason) == ("student", "margin 0.500 is at least 0.4")


def test_route_unsure_student_asks_the_reasoner():
    decision = route(np.log([3.0, 1.0]), min_margin=0.6)
    assert (decision.ranker, decision.reason) == ("reasoner", "margin 0.500 is under 0.6")


def test_route_student_that_knows_nothing_asks_the_reasoner_even_at_threshold_zero():
    assert route(np.array([NAN, NAN]), min_margin=0.0).ranker == "reasoner"


@given(scores_of_a_list)
def test_margin_any_scores_is_a_probability_gap(scores):
    assert 0.0 <= top_two_margin(scores) <= 1.0


@given(scores_of_a_list, st.randoms())
def test_margin_any_order_is_the_same(scores, random):
    shuffled = scores.tolist()
    random.shuffle(shuffled)
    assert top_two_margin(np.array(shuffled)) == pytest.approx(top_two_margin(scores), abs=1e-6)


@given(scores_of_a_list, st.floats(0, 1), st.floats(0, 1))
def test_route_higher_threshold_never_takes_a_request_from_the_reasoner(scores, one, other):
    low, high = sorted((one, other))
    if route(scores, min_margin=low).ranker == "reasoner":
        assert route(scores, min_margin=high).ranker == "reasoner"
