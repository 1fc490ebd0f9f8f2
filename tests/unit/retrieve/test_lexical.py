import numpy as np
import pytest

from raconteur.errors import DataError
from raconteur.retrieve.lexical import Lexical, words_of
from raconteur.types import Item

ITEMS = [
    Item("1", "Night Ferry", ("drama",)),
    Item("2", "Night Doors", (), "a ferry at night"),
    Item("3", "Путь домой"),
    Item("4", "千と千尋の神隠し"),
    Item("5", ""),
]


def test_lexical_score_queries_is_bm25_by_hand():
    # two texts of 2 and 1 words; "ferry" is in one of them
    model = Lexical.fit([Item("1", "night ferry"), Item("2", "night")])
    idf = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 1.5))
    np.testing.assert_allclose(model.score_queries(["ferry"]), [[expected, 0.0]], rtol=1e-6)


def test_lexical_score_asks_with_faded_titles():
    model = Lexical.fit(ITEMS)
    faded = 0.8 * model.score_queries(["Night Ferry"]) + model.score_queries(["Путь домой"])
    np.testing.assert_allclose(model.score([["1", "3"]]), faded, rtol=1e-5)


def test_lexical_score_other_scripts_are_found():
    scores = Lexical.fit(ITEMS).score_queries(["ПУТЬ", "千尋", "ＦＥＲＲＹ"])
    assert scores.argmax(axis=1)[:2].tolist() == [2, 3]
    assert (scores[2, :2] > 0).all()


@pytest.mark.parametrize("query", ["", "  !? ", "unheard", "\x00"])
def test_lexical_score_queries_without_known_words_is_zero(query):
    assert Lexical.fit(ITEMS).score_queries([query]).tolist() == [[0.0] * 5]


def test_lexical_item_without_text_scores_zero_and_asks_nothing():
    model = Lexical.fit(ITEMS)
    assert model.score([["1", "2", "3", "4"]])[0, 4] == 0.0
    assert model.score([["5"]]).tolist() == [[0.0] * 5]


def test_lexical_catalogue_without_any_text_is_flat():
    model = Lexical.fit([Item("1", ""), Item("2", " ")])
    assert model.score([["1"]]).tolist() == [[0.0, 0.0]]
    assert model.score_queries(["night"]).tolist() == [[0.0, 0.0]]


def test_lexical_fit_empty_catalogue_is_refused():
    with pytest.raises(DataError, match="no items"):
        Lexical.fit([])


def test_words_of_reads_unspaced_scripts_by_character_and_folds_case():
    assert words_of("Straße 千と ไป X-Men") == ["strasse", "千", "と", "ไ", "ป", "x", "men"]
