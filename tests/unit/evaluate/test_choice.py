import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.evaluate import choice
from raconteur.evaluate.choice import head_items, score_candidates, slice_masks


def test_score_candidates_picks_each_users_own(tabled):
    scores = score_candidates(tabled, [["alien"], ["dune"]], [["dune", "brazil"], ["alien", "clue"]])
    assert scores.tolist() == [[1.0, 3.0], [1.0, 3.0]]


def test_score_candidates_unknown_item_is_nan(tabled):
    scores = score_candidates(tabled, [["alien"]], [["ghost", "dune"]])
    assert np.isnan(scores[0, 0])
    assert scores[0, 1] == 1.0


def test_score_candidates_in_batches_is_the_same(tabled, monkeypatch):
    histories, candidates = [["alien"], ["brazil"], ["clue"]], [["dune", "alien"]] * 3
    whole = score_candidates(tabled, histories, candidates)
    monkeypatch.setattr(choice, "BATCH", 2)
    np.testing.assert_array_equal(score_candidates(tabled, histories, candidates), whole)


def test_score_candidates_no_users_is_empty(tabled):
    assert score_candidates(tabled, [], []).size == 0


def test_score_candidates_lists_of_different_length_are_refused(tabled):
    with pytest.raises(DataError, match=r"\[1, 2\] items"):
        score_candidates(tabled, [[], []], [["alien"], ["alien", "dune"]])


def test_score_candidates_another_number_of_lists_is_refused(tabled):
    with pytest.raises(DataError, match="1 histories but 2"):
        score_candidates(tabled, [[]], [["alien"], ["dune"]])


def test_slice_masks_name_who_belongs_where():
    masks = slice_masks(
        ["alien", "dune", "clue"], discovery=[True, False, True], num_targets=[5, 6, 2], head={"alien"}, cold_targets=5
    )
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "all": [True, True, True],
        "discovery": [True, False, True],
        "cold": [True, False, True],
        "long_tail": [False, True, True],
    }


@pytest.mark.parametrize(
    ("share", "head"),
    [(0.5, {"a"}), (0.51, {"a", "b"}), (0.8, {"a", "b"}), (0.81, {"a", "b", "c"}), (1.0, {"a", "b", "c"})],
)
def test_head_items_is_the_smallest_set_that_carries_the_share(share, head):
    assert head_items({"c": 2, "b": 3, "a": 5}, share=share) == head


def test_head_items_of_nothing_is_nothing():
    assert head_items({}, share=0.8) == frozenset()


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 50), min_size=1), st.floats(0.05, 1.0))
def test_head_items_carry_at_least_the_share_and_not_without_the_last(takes, share):
    head = head_items(takes, share=share)
    carried, total = sum(takes[item] for item in head), sum(takes.values())
    assert carried >= share * total - 1e-9
    assert carried - min(takes[item] for item in head) < share * total + 1e-9
