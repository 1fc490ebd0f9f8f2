import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.evaluate.beyond import catalogue_coverage, intra_list_diversity, novelty

CATEGORIES = {"a": ["drama"], "b": ["drama", "war"], "c": ["comedy"], "d": []}


def test_catalogue_coverage_counts_distinct_items_of_the_first_k():
    assert catalogue_coverage([["a", "b", "c"], ["b", "a"]], CATEGORIES, k=2) == 0.5
    assert catalogue_coverage([["ghost"], []], CATEGORIES) == 0.0


def test_catalogue_coverage_empty_catalogue_is_refused():
    with pytest.raises(DataError, match="empty catalogue"):
        catalogue_coverage([["a"]], [])


def test_novelty_is_the_mean_surprise_in_bits():
    # 8 takes: a 1/2 (1 bit), b 1/4 (2 bits), c 1/4; an item never taken counts as one take, 1/8 (3 bits)
    takes = {"a": 4, "b": 2, "c": 2}
    assert novelty([["a", "b"], ["new"], [], ["a", "b", "c"]], takes, k=2).tolist() == [1.5, 3.0, 0.0, 1.5]


@pytest.mark.parametrize("takes", [{}, {"a": 0}])
def test_novelty_without_takes_is_refused(takes):
    with pytest.raises(DataError, match="has none"):
        novelty([["a"]], takes)


def test_intra_list_diversity_is_the_mean_pairwise_distance():
    # a-b share 1 of 2: 1/2; a-c and b-c nothing: 1
    found = intra_list_diversity([["a", "b", "c"], ["a", "b", "c"][:2], ["a"], [], ["d", "ghost"]], CATEGORIES)
    np.testing.assert_allclose(found, [(0.5 + 1 + 1) / 3, 0.5, 0.0, 0.0, 0.0])


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=4), st.integers(1, 5))
def test_beyond_outcomes_lie_in_their_bounds_and_ignore_order(lists, k):
    diversity = intra_list_diversity(lists, CATEGORIES, k=k)
    assert diversity.shape == (len(lists),)
    assert ((diversity >= 0) & (diversity <= 1)).all()
    turned = intra_list_diversity([row[:k][::-1] for row in lists], CATEGORIES, k=k)
    np.testing.assert_allclose(turned, diversity)
