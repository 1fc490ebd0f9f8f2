import numpy as np
import pytest

from raconteur.retrieve import dense
from raconteur.retrieve.dense import Dense
from raconteur.types import Item

ITEMS = [
    Item("1", "Star Wars", ("space",)),
    Item("2", "Starship", ("space",)),
    Item("3", "Kitchen Tales", ("cooking",)),
    Item("4", "Ночной паром"),
    Item("5", ""),
    Item("6", "Kitchens", ("cooking",)),
]


def test_dense_score_is_the_cosine_with_the_faded_mean():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    model = Dense(("a", "b", "c"), vectors)
    user = np.array([0.8, 1.0]) / np.hypot(0.8, 1.0)  # a, then b
    np.testing.assert_allclose(model.score([["a", "b"]])[0], vectors @ user, rtol=1e-6)


def test_dense_score_finds_words_of_one_stem():
    scores = Dense.fit(ITEMS).score([["1"], ["3"]])
    assert scores[0, 1] > scores[0, [2, 3, 4, 5]].max()
    assert scores[1, 5] > scores[1, [0, 1, 3, 4]].max()


def test_dense_item_without_text_scores_zero_and_asks_nothing():
    scores = Dense.fit(ITEMS).score([["1", "3", "4"], ["5"]])
    assert scores[0, 4] == 0.0
    assert scores[1].tolist() == [0.0] * 6


@pytest.mark.parametrize("titles", [["", " "], ["same", "same"], ["x"], ["千", ""]])
def test_dense_fit_poor_catalogue_is_finite(titles):
    model = Dense.fit([Item(str(number), title) for number, title in enumerate(titles)])
    assert np.isfinite(model.score([["0"], []])).all()


def test_dense_top_searched_is_the_same_as_scored(monkeypatch):
    model = Dense.fit(ITEMS)
    histories = [["1"], ["3", "2"], ["4"]]
    columns, scores = model.top(histories, 3)
    monkeypatch.setattr(dense, "SEARCHED_ITEMS", 2)
    searched_columns, searched_scores = model.top(histories, 3)
    np.testing.assert_allclose(searched_scores, scores, atol=1e-5)
    assert searched_columns[:, 0].tolist() == columns[:, 0].tolist()


@pytest.mark.parametrize("searched", [2, 50])
def test_dense_top_more_than_there_is_gives_the_catalogue(monkeypatch, searched):
    monkeypatch.setattr(dense, "SEARCHED_ITEMS", searched)
    columns, _ = Dense.fit(ITEMS).top([["1"]], 99)
    assert sorted(columns[0].tolist()) == list(range(6))
