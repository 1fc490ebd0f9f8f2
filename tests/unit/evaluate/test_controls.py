import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.evaluate.controls import Spread, order_spread, shuffled


class Reading:
    """Scores a candidate 1 where the text names it: a Reasoner that no order can sway."""

    def score(self, texts, candidates):
        return np.array([[float(item in text) for item in row] for text, row in zip(texts, candidates, strict=True)])


class FirstOfList:
    """Always prefers the candidate that it is shown first."""

    def score(self, texts, candidates):
        return np.array([np.arange(len(row), 0, -1.0) for row in candidates])


CANDIDATES = [list("abcd"), list("bcda")]
TRUTH = np.array([0, 3])  # a, at both ends


@given(num=st.integers(2, 40), seed=st.integers(0, 2**32))
def test_shuffled_nobody_keeps_their_text_and_none_is_lost(num, seed):
    texts = [f"text {user}" for user in range(num)]
    others = shuffled(texts, np.random.default_rng(seed))
    assert sorted(others) == sorted(texts)
    assert all(other != text for other, text in zip(others, texts, strict=True))


def test_shuffled_same_seed_gives_the_same_exchange_and_another_seed_another():
    texts = [str(user) for user in range(30)]
    first = shuffled(texts, np.random.default_rng(1))
    assert shuffled(texts, np.random.default_rng(1)) == first
    assert shuffled(texts, np.random.default_rng(2)) != first


@pytest.mark.parametrize("texts", [[], ["alone"]])
def test_shuffled_fewer_than_two_users_are_refused(texts):
    with pytest.raises(DataError, match="needs two users"):
        shuffled(texts, np.random.default_rng(0))


def test_shuffled_user_loses_what_the_text_told():
    texts, truth_B = list("abcd"), np.arange(4)
    lists = [list("abcd")] * 4
    own = order_spread(Reading(), texts, lists, truth_B, seeds=[0])
    others = order_spread(Reading(), shuffled(texts, np.random.default_rng(0)), lists, truth_B, seeds=[0])
    assert (own.mean, others.mean) == (1.0, 0.0)


def test_order_spread_reader_of_the_text_is_the_same_in_every_order():
    assert order_spread(Reading(), ["a", "no"], CANDIDATES, TRUTH, seeds=range(5)) == Spread(
        mean=pytest.approx((1 + 1 / 4) / 2),  # the second text names nothing: four candidates tie
        lowest=pytest.approx(0.625),
        highest=pytest.approx(0.625),
    )


def test_order_spread_first_of_the_list_is_right_by_chance_only():
    lists, truth_B = [list("abcd")] * 400, np.zeros(400, dtype=np.int64)
    found = order_spread(FirstOfList(), [""] * 400, lists, truth_B, seeds=range(20))
    assert found.mean == pytest.approx(0.25, abs=0.02)
    assert found.lowest < found.mean < found.highest
    assert found == order_spread(FirstOfList(), [""] * 400, lists, truth_B, seeds=range(20))


def test_order_spread_without_seeds_is_refused():
    with pytest.raises(DataError, match="at least one seed"):
        order_spread(Reading(), ["a"], [["a", "b"]], np.array([0]), seeds=[])
