import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.guard.evidence import LIKE_HISTORY, MAX_REASON, plain, reason_of

TITLES = {"ferry": "Night Ferry", "clock": "The Clockmaker", "foxes": "Snow Foxes", "mine": "Moon Mine"}
CATEGORIES = {"ferry": ["crime"], "clock": ["crime", "drama"], "foxes": ["family"], "mine": ["crime", "space"]}
TAKEN = ["foxes", "clock", "ferry"]


def reason(contributions, *, history=TAKEN, source="linear", item="mine", query="", titles=TITLES):
    return reason_of(item, history, contributions, categories=CATEGORIES, titles=titles, source=source, query=query)


def test_reason_names_what_carried_most_and_the_category_that_several_share():
    assert reason({"ferry": 3.0, "clock": 1.0, "foxes": 0.5}) == "Because you took “Night Ferry” and like crime."


def test_reason_names_a_second_title_that_comes_near_the_first():
    # Half the weight of the first is near enough; crime then carried .6 of 1.
    assert reason({"ferry": 2.0, "foxes": 1.0}) == "Because you took “Night Ferry” and “Snow Foxes”."
    assert reason({"ferry": 2.0, "foxes": 0.9}) == "Because you took “Night Ferry”."


def test_reason_category_of_little_weight_is_not_named():
    # ferry and clock are crime, and carried 2 of 10.
    assert reason({"foxes": 8.0, "ferry": 1.0, "clock": 1.0}) == "Because you took “Snow Foxes”."


def test_reason_what_spoke_against_or_is_not_in_the_history_is_left_out():
    told = {"ferry": 1.0, "clock": -5.0, "ghost": 9.0, "foxes": float("nan")}
    assert reason(told) == "Because you took “Night Ferry”."
    assert reason({"ghost": 9.0}, history=[], source="linear") == "Taken by many."


def test_reason_without_contributions_is_the_taste_that_history_and_item_share():
    assert reason({}, source="sequential") == "Because you like crime."
    assert reason({}, source="sequential", history=["ferry"]) == LIKE_HISTORY  # one film is no taste
    assert reason({}, source="sequential", item="ghost") == LIKE_HISTORY


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("popularity", "Taken by many."),
        ("recent_popularity", "Taken by many of late."),
        ("request", "One of the items that you asked about."),
    ],
)
def test_reason_without_evidence_is_how_the_item_came_here(source, expected):
    assert reason({}, source=source) == expected
    assert reason({}, source=source, history=[]) == expected


def test_reason_query_that_matches_comes_first():
    assert reason({}, query="moon  base") == "Matches “moon base”."
    assert reason({"ferry": 1.0}, query="moon") == "Matches “moon”. Because you took “Night Ferry”."


def test_reason_item_without_a_title_is_not_named_by_its_id():
    assert reason({"ferry": 1.0, "clock": 0.9}, titles={"clock": "The Clockmaker", "ferry": None}) == (
        "Because you took “The Clockmaker” and like crime."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>Night</b> Ferry", "Night Ferry"),
        ("<img src=x onerror=alert(1)>Jaws", "Jaws"),
        ("I <3 “You”", "I ‹3 ’You’"),
        ("Night\n\tFerry\x00\u202e", "Night Ferry"),
        ("<<b>script>", "‹ script›"),
        ("x" * 11, "x" * 9 + "…"),
        ("Crime & Punishment", "Crime & Punishment"),
    ],
)
def test_plain_text_of_others_cannot_break_out(text, expected):
    assert plain(text, 10 if text.startswith("x") else 100) == expected


ANY_TEXT = st.text(max_size=150) | st.text(alphabet='<>“”"\n\u202e a', max_size=150)


@given(
    st.dictionaries(st.sampled_from(TAKEN), st.floats()),
    st.fixed_dictionaries(dict.fromkeys(TITLES, ANY_TEXT)),
    ANY_TEXT,
    st.sampled_from(["linear", "popularity", "request"]),
)
def test_reason_any_catalogue_and_query_is_one_short_clean_line(contributions, titles, query, source):
    categories = {item: [title, "crime"] for item, title in titles.items()}
    said = reason_of("mine", TAKEN, contributions, categories=categories, titles=titles, source=source, query=query)
    assert 0 < len(said) <= MAX_REASON
    assert not any(unicodedata.category(sign).startswith("C") or sign in '<>"' for sign in said)
    assert said.count("“") == said.count("”")
