import numpy as np
import pytest

from raconteur.retrieve.markov import Markov

ITEMS = ["a", "b", "c", "d", "e"]


def test_markov_fit_weighs_pairs_by_gap_and_normalises():
    # a -> b at 1, a -> c at 1/2, a -> d at 1/3; e is four away and does not count
    model = Markov.fit([["a", "b", "c", "d", "e"]], ITEMS)
    total = 1 + 1 / 2 + 1 / 3
    expected = [0, 1 / total, 0.5 / total, (1 / 3) / total, 0]
    np.testing.assert_allclose(model.score([["a"]])[0], expected, rtol=1e-6)


def test_markov_fit_pairs_do_not_cross_users():
    assert Markov.fit([["a"], ["b"]], ITEMS).score([["a"]]).tolist() == [[0.0] * 5]


def test_markov_fit_unknown_item_leaves_no_gap():
    with_ghost = Markov.fit([["a", "ghost", "b"]], ITEMS)
    np.testing.assert_array_equal(with_ghost.score([["a"]]), Markov.fit([["a", "b"]], ITEMS).score([["a"]]))


def test_markov_score_uses_the_last_five_faded():
    model = Markov.fit([[item, "e"] for item in "abcd"], ITEMS)  # everything leads to e
    history = ["a", "b", "c", "d", "a", "b"]  # the oldest, a sixth, is out of the query
    assert model.score([history])[0, 4] == pytest.approx(sum(0.7**age for age in range(5)))


def test_markov_discounted_divides_by_the_root_of_takes():
    log = [["a", "b"], ["a", "c"], ["d", "b"], ["e", "b"], ["b"]]  # b is taken 4 times, c once
    plain, discounted = Markov.fit(log, ITEMS), Markov.fit(log, ITEMS, discount_popular=True)
    assert plain.score([["a"]]).tolist() == [[0, 0.5, 0.5, 0, 0]]
    assert discounted.score([["a"]]).tolist() == [[0, 0.25, 0.5, 0, 0]]


@pytest.mark.parametrize("log", [[], [[]], [["a"]]])
def test_markov_fit_log_without_pairs_is_flat(log):
    assert Markov.fit(log, ITEMS).score([["a", "b"]]).tolist() == [[0.0] * 5]
