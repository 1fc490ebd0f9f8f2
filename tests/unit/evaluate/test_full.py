import numpy as np
import pytest

from raconteur.errors import DataError
from raconteur.evaluate import full
from raconteur.evaluate.full import rank_catalogue


def test_rank_catalogue_seen_items_hold_no_place(tabled):
    # after alien: brazil 3, clue 2, dune 1; with brazil seen, clue comes first and dune second
    ranking = rank_catalogue(tabled, [["alien"]] * 2, ["clue", "dune"], seen=[["alien", "brazil"]] * 2, k=1)
    assert ranking.hit.tolist() == [1.0, 0.0]
    assert ranking.ndcg.tolist() == [1.0, 0.0]


def test_rank_catalogue_second_place_gains_by_the_logarithm(tabled):
    ranking = rank_catalogue(tabled, [["alien"]], ["clue"], seen=[["alien"]], k=10)
    assert ranking.hit.tolist() == [1.0]
    assert ranking.ndcg[0] == pytest.approx(1 / np.log2(3))


def test_rank_catalogue_seen_or_unknown_truth_is_a_miss(tabled):
    ranking = rank_catalogue(tabled, [["alien"]] * 2, ["alien", "ghost"], seen=[["alien"], ["alien", "other ghost"]])
    assert ranking.hit.tolist() == [0.0, 0.0]
    assert ranking.ndcg.tolist() == [0.0, 0.0]


def test_rank_catalogue_in_batches_is_the_same(tabled, monkeypatch):
    inputs = {"histories": [["alien"], ["brazil"], ["clue"]], "truths": ["dune", "clue", "alien"]}
    seen = [["alien"], ["brazil"], ["clue"]]
    whole = rank_catalogue(tabled, **inputs, seen=seen)
    monkeypatch.setattr(full, "BATCH", 2)
    np.testing.assert_array_equal(rank_catalogue(tabled, **inputs, seen=seen).ndcg, whole.ndcg)


def test_rank_catalogue_inputs_of_other_length_are_refused(tabled):
    with pytest.raises(DataError, match="1 histories, 2 truths, 1 seen"):
        rank_catalogue(tabled, [["alien"]], ["dune", "clue"], seen=[[]])
