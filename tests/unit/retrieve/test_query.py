import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.data.dataset import ITEMS
from raconteur.errors import DataError
from raconteur.retrieve.lexical import Lexical
from raconteur.retrieve.query import MAX_CHARS, MAX_WORDS, QueryIndex, mixed
from raconteur.types import Item

INF, NAN = float("inf"), float("nan")
FILMS = pl.DataFrame(
    {
        "item_id": ["ferry", "doors", "mine", "blank"],
        "title": ["Night Ferry", "Night Doors", "Moon Mine", None],
        "description": [None, "a ferry at night", None, None],
        "categories": [["crime"], [], ["space", "crime"], None],
        "released": None,
        "available": True,
        "attributes": [[] for _ in range(4)],
    },
    schema=ITEMS,
)


def best_first(scores):
    return np.argsort(-scores, kind="stable").tolist()


def test_scores_are_those_of_bm25_over_title_categories_and_description():
    index = QueryIndex.of(FILMS)
    items = [
        Item("ferry", "Night Ferry", ("crime",)),
        Item("doors", "Night Doors", (), "a ferry at night"),
        Item("mine", "Moon Mine", ("space", "crime")),
        Item("blank", ""),
    ]
    np.testing.assert_array_equal(index.scores("crime ferry"), Lexical.fit(items).score_queries(["crime ferry"])[0])
    assert (index.scores("CRIME") > 0).tolist() == [True, False, True, False]


def test_scores_repeated_word_counts_once():
    index = QueryIndex.of(FILMS)
    np.testing.assert_array_equal(index.scores("ferry ferry FERRY"), index.scores("ferry"))


def test_scores_follow_the_order_asked_for_and_unknown_ids_match_nothing():
    found = QueryIndex.of(FILMS, ["ghost", "mine", "ferry"]).scores("crime ghost")
    assert (found > 0).tolist() == [False, True, True]


def test_scores_index_of_a_retriever_can_be_shared():
    lexical = Lexical.fit([Item("ferry", "Night Ferry"), Item("mine", "Moon Mine")])
    assert (QueryIndex(lexical).scores("moon") > 0).tolist() == [False, True]


@pytest.mark.parametrize("query", ["", " ?! ", "\x00\ud800", "unheard", "((((*", "\u0e00" * 10_000])
def test_scores_query_without_known_words_matches_nothing(query):
    assert QueryIndex.of(FILMS).scores(query).tolist() == [0.0] * 4


def test_scores_only_the_beginning_of_a_long_query_is_read():
    index = QueryIndex.of(FILMS)
    assert not index.scores(" " * MAX_CHARS + "ferry").any()
    others = " ".join(f"w{number}" for number in range(MAX_WORDS))
    assert not index.scores(f"{others} ferry").any()
    assert index.scores(f"{others[:-4]} ferry").any()


@given(st.text(max_size=1000))
def test_scores_any_query_is_finite_and_never_below_zero(query):
    scores = QueryIndex.of(FILMS).scores(query)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


def test_index_of_a_bad_catalogue_is_refused():
    with pytest.raises(DataError, match="lacks title"):
        QueryIndex.of(FILMS.drop("title"))
    with pytest.raises(DataError, match="no items"):
        QueryIndex.of(FILMS.clear())
    with pytest.raises(DataError, match="distinct"):
        QueryIndex.of(pl.concat([FILMS, FILMS]))


def test_mixed_by_hand():
    # Items 1, 2 and 4 match. Retrieval's standard scores among them: (2, 8, 5) -> -1.2247, 1.2247, 0;
    # the query's: (6, 0.1, 2.3), mean 2.8, deviation 2.4345 -> 1.3144, -1.1090, -.2054; sums .0897, .1157, -.2054.
    found = mixed(np.array([9.0, 2.0, 8.0, 1.0, 5.0]), np.array([0.0, 6.0, 0.1, 0.0, 2.3]))
    assert found.matched
    np.testing.assert_allclose(found.scores[[1, 2, 4]], [0.0897, 0.1157, -0.2054], atol=2e-4)
    assert best_first(found.scores) == [2, 1, 4, 0, 3]


def test_mixed_equal_retrieval_leaves_the_word_to_the_query():
    found = mixed(np.zeros(3), np.array([1.0, 0.0, 2.0]))
    assert best_first(found.scores) == [2, 0, 1]


def test_mixed_nothing_matches_is_the_order_of_retrieval():
    retrieved = np.array([1.0, 3.0, NAN, -INF], dtype=np.float32)
    found = mixed(retrieved, np.zeros(4))
    assert not found.matched
    np.testing.assert_array_equal(found.scores, retrieved)


def test_mixed_what_was_ruled_out_stays_out_even_where_it_alone_matches():
    retrieved = np.array([-INF, 3.0, 1.0])
    assert not mixed(retrieved, np.array([5.0, 0.0, 0.0])).matched
    found = mixed(retrieved, np.array([5.0, 0.0, 1.0]))
    assert found.scores[0] == -INF
    assert best_first(found.scores) == [2, 1, 0]


def test_mixed_item_unknown_to_retrieval_comes_in_by_its_match():
    found = mixed(np.array([NAN, 3.0, 1.0, NAN]), np.array([4.0, 0.0, 1.0, 0.0]))
    # Of the matching items retrieval knows one, which is its own mean: the query decides, (4, 1) -> 1, -1.
    np.testing.assert_allclose(found.scores, [1.0, -2.0, -1.0, NAN])


def test_mixed_does_not_change_what_it_is_given():
    retrieved = np.array([1.0, 2.0], dtype=np.float32)
    mixed(retrieved, np.array([1.0, 0.0]))
    assert retrieved.tolist() == [1.0, 2.0]


def test_mixed_different_lengths_are_refused():
    with pytest.raises(DataError, match="2 scores of retrieval and 3 of the query"):
        mixed(np.zeros(2), np.zeros(3))


SCORES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([NAN, -INF, INF])
PAIRS = st.lists(st.tuples(SCORES, st.just(0.0) | st.floats(0.015625, 50.0, width=32)), min_size=1, max_size=12)


@given(PAIRS)
def test_mixed_any_scores_matches_first_and_the_rest_in_the_order_of_retrieval(pairs):
    retrieved, query = (np.array(column, dtype=np.float32) for column in zip(*pairs, strict=True))
    found = mixed(retrieved, query)
    ruled_out = retrieved == -INF
    matching = (query > 0) & ~ruled_out
    rest = ~matching & ~ruled_out & ~np.isnan(retrieved)
    assert found.matched == matching.any()
    assert (found.scores[ruled_out] == -INF).all()
    assert np.isnan(found.scores[~matching & np.isnan(retrieved)]).all()
    if found.matched:
        assert np.isfinite(found.scores[matching | rest]).all()
        assert found.scores[matching].min() > found.scores[rest].max(initial=-INF)
    assert best_first(found.scores[rest]) == best_first(retrieved[rest])


@given(PAIRS)
def test_mixed_better_in_both_is_never_behind(pairs):
    retrieved, query = (np.array(column, dtype=np.float32) for column in zip(*pairs, strict=True))
    scores = mixed(retrieved, query).scores
    real = np.flatnonzero(np.isfinite(retrieved))
    for one in real:
        for other in real:
            if retrieved[one] >= retrieved[other] and query[one] >= query[other]:
                assert scores[one] >= scores[other] - 1e-5
