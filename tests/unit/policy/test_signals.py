import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raconteur.policy.signals import (
    MARGIN,
    NAMES,
    RouteRequest,
    oddity,
    probabilities,
    signal_table,
    signals_of,
)

NAN, INF = float("nan"), float("inf")
scores_of_a_list = hnp.arrays(
    np.float32,
    st.integers(0, 30),
    elements=st.one_of(st.floats(width=32), st.just(NAN)),
)


def signals(scores, *, temperature=1.0, **request):
    values = signals_of(RouteRequest(np.array(scores, dtype=np.float32), **request), temperature=temperature)
    return dict(zip(NAMES, values.tolist(), strict=True))


def margin_of(scores):
    return signals_of(RouteRequest(np.array(scores)))[MARGIN]


def test_margin_of_two_scores_is_the_gap_of_their_probabilities():
    # softmax([ln 3, ln 1]) = [3/4, 1/4]
    assert margin_of(np.log([3.0, 1.0])) == pytest.approx(0.5)


def test_margin_of_four_scores_looks_at_the_first_two_only():
    # softmax of ln [5, 3, 1, 1] = [.5, .3, .1, .1]; the order does not matter
    assert margin_of(np.log([1.0, 5.0, 1.0, 3.0])) == pytest.approx(0.2)


def test_margin_unknown_items_take_no_part():
    assert margin_of(np.array([NAN, math.log(3.0), NAN, 0.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(("scores", "margin"), [([], 0.0), ([NAN, NAN], 0.0), ([2.0], 1.0), ([NAN, -4.0], 1.0)])
def test_margin_without_a_rival_is_one_and_without_a_choice_zero(scores, margin):
    assert margin_of(np.array(scores)) == margin


def test_margin_of_huge_scores_does_not_overflow():
    assert margin_of(np.array([1e38, 0.0])) == 1.0


def test_signals_by_hand():
    # temperature 2 halves the scores: softmax of ln [9, 1] / 2 = [3/4, 1/4]
    seen = signals(np.log([9.0, 1.0]), temperature=2.0, num_events=6, num_cold=1)
    assert seen["margin"] == pytest.approx(0.5)
    assert seen["probability"] == pytest.approx(0.75)
    assert seen["entropy"] == pytest.approx((0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(2))
    assert seen["log_events"] == pytest.approx(math.log(7))
    assert (seen["cold_user"], seen["cold_share"], seen["unknown_share"]) == (0.0, 0.5, 0.0)


def test_signals_of_equal_scores_are_those_of_no_choice():
    seen = signals([1.0] * 4, num_events=5)
    assert (seen["margin"], seen["probability"], seen["cold_user"]) == (0.0, 0.25, 1.0)
    assert seen["entropy"] == pytest.approx(1.0)


@pytest.mark.parametrize("scores", [[], [NAN, NAN], [INF, -INF]])
def test_signals_of_no_known_score_are_those_of_no_choice(scores):
    seen = signals(scores)
    assert (seen["margin"], seen["entropy"], seen["probability"]) == (0.0, 1.0, 0.0)


def test_signals_of_one_known_score_are_those_of_no_rival():
    seen = signals([NAN, 2.0, NAN, NAN])
    assert (seen["margin"], seen["entropy"], seen["probability"], seen["unknown_share"]) == (1.0, 0.0, 1.0, 0.75)


def test_signal_table_filling_is_not_unknown():
    table = signal_table(
        np.array([[1.0, 0.0, NAN], [1.0, 0.0, NAN]]),
        num_candidates_B=np.array([2, 3]),
        num_events_B=np.array([1, 1]),
        num_cold_B=np.array([0, 0]),
    )
    assert table[:, NAMES.index("unknown_share")] == pytest.approx([0.0, 1 / 3])
    assert table[0, :3] == pytest.approx(table[1, :3])


@pytest.mark.parametrize(
    ("scores", "asked", "words"),
    [
        ([], 0, "there is no candidate"),
        ([1.0], 0, "there is one candidate"),
        ([NAN, NAN], 0, "knows none"),
        ([NAN, 1.0], 0, "knows 1 of 2"),
        ([1.0, 1.0, NAN], 0, "all candidates alike"),
        ([1.0, 2.0, NAN], 0, "knows 2 of 3"),
        ([1.0, 2.0], 5, "2 candidates for 5 places"),
    ],
)
def test_oddity_says_which(scores, asked, words):
    assert words in oddity(RouteRequest(np.array(scores), num_asked=asked))


def test_oddity_of_an_ordinary_request_is_empty():
    assert oddity(RouteRequest(np.array([1.0, 2.0]), num_asked=2)) == ""


@given(scores_of_a_list, st.floats(0.05, 20))
def test_signals_any_scores_are_shares(scores, temperature):
    seen = signals(scores, temperature=temperature)
    for name in ("margin", "entropy", "probability", "unknown_share"):
        assert -1e-9 <= seen[name] <= 1 + 1e-9, name
    assert oddity(RouteRequest(scores)) is not None


@given(scores_of_a_list.filter(len), st.randoms())
def test_signals_any_order_are_the_same(scores, random):
    shuffled = scores.tolist()
    random.shuffle(shuffled)
    assert list(signals(shuffled).values()) == pytest.approx(list(signals(scores).values()), abs=1e-6)


@given(scores_of_a_list.filter(lambda scores: np.isfinite(scores).any()))
def test_probabilities_of_known_scores_sum_to_one(scores):
    probs_BN = probabilities(scores[None, :])
    assert probs_BN.sum() == pytest.approx(1.0)
    assert (probs_BN[0, ~np.isfinite(scores)] == 0.0).all()
