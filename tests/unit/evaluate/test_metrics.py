import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raconteur.errors import DataError
from raconteur.evaluate.metrics import hit_at, mrr, ndcg, recall_at_1

nan = float("nan")


def _one(metric, scores, truth, **options):
    return metric(np.array([scores], dtype=float), np.array([truth]), **options)[0]


@pytest.mark.parametrize(
    ("scores", "truth", "recall", "reciprocal", "gain"),
    [
        ([3, 2, 1], 0, 1.0, 1.0, 1.0),
        ([3, 2, 1], 1, 0.0, 1 / 2, 1 / np.log2(3)),
        ([3, 2, 1], 2, 0.0, 1 / 3, 1 / 2),
        # two share the top: places 1 and 2 with equal chance
        ([2, 2, 1], 0, 1 / 2, (1 + 1 / 2) / 2, (1 + 1 / np.log2(3)) / 2),
        # all alike: chance
        ([0, 0, 0], 1, 1 / 3, (1 + 1 / 2 + 1 / 3) / 3, (1 + 1 / np.log2(3) + 1 / 2) / 3),
        # beaten by one, tied with one: places 2 and 3
        ([1, 5, 1], 2, 0.0, (1 / 2 + 1 / 3) / 2, (1 / np.log2(3) + 1 / 2) / 2),
        ([nan, -9, -9], 0, 0.0, 1 / 3, 1 / 2),  # an unknown item ranks below any number
        ([nan, -9, -9], 1, 1 / 2, (1 + 1 / 2) / 2, (1 + 1 / np.log2(3)) / 2),
        ([nan, nan, 1], 0, 0.0, (1 / 2 + 1 / 3) / 2, (1 / np.log2(3) + 1 / 2) / 2),
        ([nan, nan, nan], 0, 1 / 3, (1 + 1 / 2 + 1 / 3) / 3, (1 + 1 / np.log2(3) + 1 / 2) / 3),
        ([nan, -np.inf, 0], 1, 0.0, 1 / 2, 1 / np.log2(3)),  # even minus infinity is a number
    ],
)
def test_metrics_worked_by_hand(scores, truth, recall, reciprocal, gain):
    assert _one(recall_at_1, scores, truth) == pytest.approx(recall)
    assert _one(mrr, scores, truth) == pytest.approx(reciprocal)
    assert _one(ndcg, scores, truth) == pytest.approx(gain)


def test_hit_and_ndcg_at_k_stop_at_the_kth_place():
    scores = [9, 8, 7, 6]
    assert [_one(hit_at, scores, truth, k=2) for truth in range(4)] == [1, 1, 0, 0]
    assert [_one(ndcg, scores, truth, k=2) for truth in range(4)] == pytest.approx([1, 1 / np.log2(3), 0, 0])


def test_hit_tie_across_the_edge_counts_in_part():
    assert _one(hit_at, [9, 5, 5, 5], 3, k=2) == pytest.approx(1 / 3)


def test_hit_k_beyond_the_list_is_always_a_hit():
    assert _one(hit_at, [1, 2], 0, k=10) == 1.0


def test_removed_candidates_hold_no_place_and_a_removed_truth_gains_nothing():
    scores, removed = np.array([[9.0, 8.0, 7.0]]), np.array([[True, False, False]])
    assert ndcg(scores, np.array([1]), removed_BN=removed)[0] == 1.0
    assert ndcg(scores, np.array([0]), removed_BN=removed)[0] == 0.0


def test_metrics_no_users_give_no_outcomes():
    assert recall_at_1(np.empty((0, 3)), np.empty(0, dtype=int)).shape == (0,)


@pytest.mark.parametrize("truth", [[3], [-1], [0, 1]])
def test_metrics_truth_that_does_not_fit_is_refused(truth):
    with pytest.raises(DataError, match="truth"):
        recall_at_1(np.zeros((1, 3)), np.array(truth))


tables = hnp.arrays(np.float64, (4, 5), elements=st.sampled_from([-1.0, 0.0, 1.0, 2.0, nan]))


@given(tables, st.permutations(range(5)))
def test_metrics_candidate_order_does_not_matter(scores, order):
    truth = np.array([0, 1, 2, 3])
    moved = np.array([order.index(place) for place in truth])
    for metric in (recall_at_1, mrr, ndcg):
        np.testing.assert_allclose(metric(scores[:, order], moved), metric(scores, truth))


@given(tables)
def test_recall_over_all_candidates_as_truth_sums_to_one(scores):
    sums = sum(recall_at_1(scores, np.full(4, truth)) for truth in range(5))
    np.testing.assert_allclose(sums, 1.0)


@given(tables)
def test_metrics_are_ordered_and_bounded(scores):
    truth = np.zeros(4, dtype=int)
    recall, reciprocal, gain = recall_at_1(scores, truth), mrr(scores, truth), ndcg(scores, truth)
    assert (recall >= 0).all()
    assert (recall <= reciprocal + 1e-12).all()
    assert (reciprocal <= gain + 1e-12).all()
    assert (gain <= 1 + 1e-12).all()
