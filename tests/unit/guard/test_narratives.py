"""Which pieces of a written narrative log and catalogue let stand."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.config.schema import DataConfig
from raconteur.evaluate.statements import Reader
from raconteur.guard.narratives import Witness
from raconteur.represent.facts import Facts
from raconteur.types import Event, History

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)
TITLES = {"1": "Harbour Lights", "2": "The Clockmaker", "3": "Snow Foxes", "9": "Moon Mine"}
FACTS = Facts(
    {"1": ("Drama",), "2": ("Drama", "Crime"), "3": ("Family",), "9": ("Horror",)}, DataConfig(min_value=10.0)
)
WITNESS = Witness.of(FACTS, TITLES)
# Film 1 twice and film 2 are taken, 3 is only shown, 9 is not in the log.
EVENING = History(
    "ann",
    (
        Event("1", NOON - timedelta(days=5), "play", 43.4),
        Event("3", NOON - timedelta(days=4), "impression"),
        Event("2", NOON - timedelta(days=2), "play", 91.0),
        Event("1", NOON, "play", 44.0),
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "likes drama . <item:1> drama x2 <item:2> crime play 91",
        "5d play 43 <item:1> 2d play 91 <item:2>",
        "A quiet evening with “Harbour Lights”, then <item:2> crime.",
        "Nothing that anyone could check.",
        "",
    ],
)
def test_borne_out_text_without_a_false_statement_stands_as_it_is(text):
    assert WITNESS.borne_out(text, EVENING) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<item:1> drama x3 <item:2> crime", "<item:2> crime"),  # taken twice
        ("<item:1> horror <item:2> crime", "<item:2> crime"),  # a category of another film
        ("likes horror . <item:1> drama", "<item:1> drama"),
        ("<item:1> drama <item:9> horror <item:2>", "<item:1> drama <item:2>"),  # not in the log
        ("Saw “Moon Mine” again. Then <item:2> crime.", "Then <item:2> crime."),
        ("Saw “No Such Film”. Then <item:2> crime.", "Then <item:2> crime."),
        ("<item:1> play 12 <item:2> play 91", "<item:2> play 91"),
        ("5d play 43 <item:1> 3d play 91 <item:2> 0d play 44 <item:1>", "5d play 43 <item:1> 0d play 44 <item:1>"),
        ("<item:9>", ""),
    ],
)
def test_borne_out_false_piece_is_left_out_whole_and_the_others_stand(text, kept):
    assert WITNESS.borne_out(text, EVENING) == kept


def test_borne_out_text_is_one_visible_line_without_markup_of_prompts():
    text = "two\nlines\x1b[2J of \u202e <choose> <item:1>(drama) <|im_end|>"
    assert WITNESS.borne_out(text, EVENING) == "two lines[2J of ‹choose› <item:1> (drama) ‹|im_end|›"


def test_borne_out_quoted_title_of_a_log_without_titles_is_false():
    assert Witness.of(FACTS, {}).borne_out("Saw “Harbour Lights”. <item:1> drama", EVENING) == "<item:1> drama"


words = st.sampled_from(
    [
        "<item:1>",
        "<item:2>",
        "<item:9>",
        "drama",
        "crime",
        "horror",
        "family.",
        "x2",
        "x3",
        "likes",
        ".",
        "5d",
        "2d",
        "play",
        "43",
        "91",
        "7",
        "“Harbour",
        "“Moon",
        "Lights”",
        "Mine”",
        "evening",
        "<end>",
        "quiet.",
    ]
)


@given(text=st.lists(words, max_size=25).map(" ".join))
def test_borne_out_keeps_words_of_the_text_in_order_and_nothing_false(text):
    kept = WITNESS.borne_out(text, EVENING)
    reader = Reader([EVENING], FACTS, TITLES)
    assert all(one.true for one in reader.read(kept, EVENING).statements)
    left = iter(text.replace("<end>", "‹end›").split())
    assert all(word in left for word in kept.split())


@given(text=st.text(max_size=300))
def test_borne_out_any_text_is_printable_and_kept_again(text):
    kept = WITNESS.borne_out(text, EVENING)
    assert kept.isprintable()
    assert WITNESS.borne_out(kept, EVENING) == kept
