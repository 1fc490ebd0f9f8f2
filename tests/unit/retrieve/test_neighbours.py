import numpy as np
import pytest

from raconteur.retrieve.neighbours import MAX_PLACES, Neighbours

ITEMS = ["a", "b", "c", "d"]


def test_neighbours_score_votes_by_distance_and_direction():
    # one place of b, shared with the history by b alone (weight 1): c follows at once, d one later, a stands before
    votes = Neighbours.fit([["a", "b", "c", "d"]], ITEMS).score([["b"]])[0]
    np.testing.assert_allclose(votes, [0.1, 0.0, 1.0, 0.75], rtol=1e-6)


def test_neighbours_score_shared_stretch_counts_cubed():
    # both logs hold b; the first also holds a, .8 in the history: (1 + .8)^3 against 1
    votes = Neighbours.fit([["a", "b", "c"], ["b", "d"]], ITEMS).score([["a", "b"]])[0]
    asked_by_a = 0.5 * 1.8**3 * 0.75  # the place of a sees c two later, at half the weight of an older item
    assert votes[2] == pytest.approx(1.8**3 + asked_by_a, rel=1e-5)
    assert votes[3] == pytest.approx(1.0)


def test_neighbours_score_repeated_item_weighs_as_its_newest():
    model = Neighbours.fit([["a", "b"]], ITEMS)
    assert model.score([["a", "a", "a"]])[0, 1] == pytest.approx(1 + 0.5 + 0.25)


def test_neighbours_score_does_not_look_across_users():
    assert Neighbours.fit([["a"], ["b"]], ITEMS).score([["a"]])[0, 1] == 0.0


def test_neighbours_score_popular_item_looks_at_its_last_places_only():
    log = [["a", "b"]] * 5 + [["a", "c"]] * MAX_PLACES
    votes = Neighbours.fit(log, ITEMS).score([["a"]])[0]
    assert votes.tolist() == [0.0, 0.0, float(MAX_PLACES), 0.0]


@pytest.mark.parametrize("log", [[], [[]], [["ghost"]]])
def test_neighbours_fit_empty_log_is_flat(log):
    assert Neighbours.fit(log, ITEMS).score([["a"], []]).tolist() == [[0.0] * 4] * 2
