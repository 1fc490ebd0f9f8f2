import math

from hypothesis import given
from hypothesis import strategies as st

from raconteur.guard.grounding import ground
from raconteur.types import Candidate

NAN = float("nan")
AVAILABLE = {"heat": True, "alien": True, "brazil": True, "lost": False}


def proposals(*pairs):
    return [Candidate(item_id, score, "test") for item_id, score in pairs]


def shown(grounded):
    return [candidate.item_id for candidate in grounded.ranking]


def test_ground_clean_ranking_is_sorted_and_needs_no_repair():
    result = ground(
        proposals(("heat", 0.1), ("alien", 0.7), ("brazil", 0.2)),
        candidates={"heat", "alien", "brazil"},
        available=AVAILABLE,
        k=2,
    )
    assert shown(result) == ["alien", "brazil"]
    assert result.reasons == ()


def test_ground_invented_and_unavailable_items_are_removed_and_named():
    result = ground(
        proposals(("ghost", 9.0), ("lost", 8.0), ("heat", 0.1), ("alien", 7.0)),
        candidates={"ghost", "lost", "heat"},
        available=AVAILABLE,
        k=5,
    )
    assert shown(result) == ["heat"]
    assert result.reasons == ("1 not in the catalogue", "1 not available", "1 not among the candidates")


def test_ground_item_proposed_twice_is_shown_once_with_its_first_score():
    result = ground(
        proposals(("heat", 0.5), ("heat", 0.9), ("alien", 0.7)), candidates=AVAILABLE, available=AVAILABLE, k=5
    )
    assert [(c.item_id, c.score) for c in result.ranking] == [("alien", 0.7), ("heat", 0.5)]
    assert result.reasons == ("1 proposed twice",)


def test_ground_unknown_scores_come_last_in_the_order_proposed():
    result = ground(
        proposals(("brazil", NAN), ("heat", -5.0), ("alien", NAN)), candidates=AVAILABLE, available=AVAILABLE, k=5
    )
    assert shown(result) == ["heat", "brazil", "alien"]


def test_ground_equal_scores_keep_the_order_of_the_retriever():
    result = ground(proposals(("brazil", 0.0), ("alien", 0.0)), candidates=AVAILABLE, available=AVAILABLE, k=5)
    assert shown(result) == ["brazil", "alien"]


def test_ground_nothing_proposed_is_an_empty_answer():
    assert ground([], candidates=AVAILABLE, available=AVAILABLE, k=5).ranking == ()


item_ids = st.sampled_from("abcdefgh")


@given(
    st.lists(st.tuples(item_ids, st.floats(allow_infinity=False))),
    st.sets(item_ids),
    st.dictionaries(item_ids, st.booleans()),
    st.integers(1, 10),
)
def test_ground_any_proposal_gives_available_candidates_once_and_best_first(pairs, candidates, available, k):
    result = ground(proposals(*pairs), candidates=candidates, available=available, k=k)
    answer = shown(result)
    allowed = {item for item, _ in pairs if item in candidates and available.get(item)}
    assert set(answer) <= allowed
    assert len(answer) == len(set(answer)) == min(k, len(allowed))
    known = [c.score for c in result.ranking if not math.isnan(c.score)]
    assert known == sorted(known, reverse=True)
    assert all(math.isnan(c.score) for c in result.ranking[len(known) :])
    assert (len(pairs) > len(allowed)) == bool(result.reasons)
