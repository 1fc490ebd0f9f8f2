import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raconteur.guard.occlusion import (
    MAX_CATEGORIES,
    MAX_ITEMS,
    Share,
    lost_leads,
    occlusion,
    parts_of,
    segments,
)

CATEGORIES = {"1": ["Drama"], "2": ["Drama", "Crime"], "3": ["Family"]}
TEXT = "likes drama crime . <item:1> drama x3 <item:2> . Seldom at noon. 12d play 43 tv <item:3> 5d play 3.5 <item:1>"


def counting(texts, candidates):
    """A ranker by hand: a candidate's score is how often the text has its word."""
    return np.array(
        [[text.split().count(word) for word in row] for text, row in zip(texts, candidates, strict=True)], np.float32
    )


def test_segments_rows_and_mentions_with_what_is_said_of_them():
    assert [(piece.text.strip(), piece.item_id) for piece in segments(TEXT)] == [
        ("likes drama crime .", None),
        ("<item:1> drama x3", "1"),
        ("<item:2> .", "2"),
        ("Seldom at noon.", None),
        ("12d play 43 tv <item:3>", "3"),
        ("5d play 3.5 <item:1>", "1"),
    ]


def test_segments_encoded_ids_are_read():
    assert [piece.item_id for piece in segments("<item:a%20b><item:c>")] == ["a b", "c"]


@given(st.text(max_size=60) | st.text(alphabet="<item:12> d.play", max_size=60))
def test_segments_any_text_joined_again_is_the_text(text):
    assert "".join(piece.text for piece in segments(text)) == text


def test_parts_newest_items_first_then_categories_of_several_items():
    parts = parts_of(TEXT, CATEGORIES)
    assert [(part.item_id, part.category) for part in parts] == [
        ("1", None),
        ("3", None),
        ("2", None),
        (None, "Drama"),  # of items 1 and 2; the others have one item each
    ]
    assert parts[0].text_without == "likes drama crime . <item:2> . Seldom at noon. 12d play 43 tv <item:3>"
    assert parts[3].text_without == "likes crime . Seldom at noon. 12d play 43 tv <item:3>"


def test_parts_of_a_long_text_are_bounded():
    ids = [str(number) for number in range(100)]
    names = {item_id: [f"c{number}" for number in range(50)] for item_id in ids}
    parts = parts_of(" ".join(f"<item:{item_id}>" for item_id in ids), names)
    assert len(parts) == MAX_ITEMS + MAX_CATEGORIES
    assert parts[0].item_id == "99"


def test_parts_of_a_text_that_names_nothing_are_none():
    assert parts_of("likes drama .", CATEGORIES) == []


def test_lost_leads_by_hand():
    # Candidate 0 leads the mean of the others by 6 - (2 + 0) / 2 = 5; without the part by 3 - (1 + 0) / 2 = 2.5.
    # Candidate 1 leads by 2 - 3 = -1 and candidate 2 by -4: no lead, nothing to lose.
    np.testing.assert_allclose(lost_leads(np.array([[6, 2, 0], [3, 1, 0]])), [[0.5, 0.0, 0.0]])


def test_lost_leads_unknown_and_single_candidates_have_nothing_to_lose():
    nan = np.nan
    # The unknown candidate counts for nobody's mean: 4 - 2 = 2, then 3 - 2 = 1.
    np.testing.assert_allclose(lost_leads(np.array([[4, nan, 2], [3, nan, 2]])), [[0.5, 0.0, 0.0]])
    np.testing.assert_allclose(lost_leads(np.array([[4.0], [1.0]])), [[0.0]])
    np.testing.assert_allclose(lost_leads(np.array([[4, 2], [nan, 2]])), [[0.0, 0.0]])


@given(
    arrays(np.float64, (4, 5), elements=st.floats(-100, 100)),
    arrays(np.float64, (4, 1), elements=st.floats(-50, 50)),
    st.floats(0.5, 4.0),
)
def test_lost_leads_zero_and_unit_of_the_scores_do_not_matter(scores, zeros, unit):
    scores = scores.round(2)
    found = lost_leads(scores)
    assert found.shape == (3, 5)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(lost_leads(unit * scores + zeros), found, rtol=1e-5, atol=1e-5)


def test_occlusion_says_which_item_and_category_carried_each_candidate():
    text = "<item:1> war war war <item:2> war <item:3> space"
    found = occlusion(counting, text, ["war", "space", "noise"], CATEGORIES)
    # war: 4 - (1 + 0) / 2 = 3.5; without item 1: 1 - .5 = .5; without 2: 2.5; without both: -.5; without 3: 4
    assert found[0] == (
        Share(None, "Drama", round(1 + 0.5 / 3.5, 4)),
        Share("1", None, round(1 - 0.5 / 3.5, 4)),
        Share("2", None, round(1 - 2.5 / 3.5, 4)),
    )
    assert found[1] == ()  # space has 1, the mean of the others is 2
    assert found[2] == ()


def test_occlusion_asks_the_ranker_once():
    calls = []

    def score(texts, candidates):
        calls.append(len(texts))
        return counting(texts, candidates)

    occlusion(score, TEXT, ["drama", "crime"], CATEGORIES)
    assert calls == [5]  # the whole text, three items, one category


@pytest.mark.parametrize("text", ["", "likes drama ."])
def test_occlusion_of_a_text_without_items_tells_nothing(text):
    assert occlusion(counting, text, ["drama", "crime"], CATEGORIES) == [(), ()]
