import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.evaluate import faithful
from raconteur.evaluate.statements import KINDS
from raconteur.represent.template import event_text
from raconteur.types import History


def check(texts, histories, facts, **settings):
    return faithful.check(
        texts, histories, facts, num_tokens=[3] * len(texts), template_tokens=[10] * len(texts), **settings
    )


def test_check_one_row_counts_statements_falsehoods_and_words(facts, evening):
    # True: two films, x2, Drama. False: film 5, x3, Crime for film 1. Unparsed: hello, s-9 (a session), 4 (an item id).
    text = "likes drama . <item:1> x2 crime <item:2> x3 <item:5> hello s-9 4"
    row = check([text], [evening], facts).row(0, named=True)
    assert {kind: (row[f"num_{kind}"], row[f"false_{kind}"]) for kind in KINDS} == {
        "item": (3, 1),
        "title": (0, 0),
        "category": (1, 1),
        "count": (2, 1),
        "taste": (1, 0),
        "event": (0, 0),
        "period": (0, 0),
        "context": (0, 0),
    }
    assert row["false"] == ["item: <item:5>", "category: crime", "count: x3"]
    assert (row["user_id"], row["num_words"], row["num_unparsed"], row["num_raw_ids"]) == ("ann", 11, 3, 2)
    assert (row["num_tokens"], row["template_tokens"]) == (3, 10)


def test_check_template_keeps_every_context_value_and_nothing_is_false(facts, evening):
    text = " ".join(event_text(event, evening.events[-1].event_time) for event in evening.events)
    row = check([text], [evening], facts).row(0, named=True)
    assert row["num_contexts"] == row["num_contexts_kept"] == 6  # five devices, one episode
    assert sum(row[f"false_{kind}"] for kind in KINDS) == row["num_unparsed"] == 0


def test_check_context_values_outside_rows_are_noise_kept_no_more_often_than_logged(facts, evening):
    row = check(["<item:1> on kids tablet tablet S1E2 S1E2"], [evening], facts).row(0, named=True)
    assert row["num_contexts_kept"] == 2  # `kids tablet` and one S1E2


def test_check_quoted_titles_are_read_where_titles_are_given(facts, evening, titles):
    frame = check(["“Harbour Lights” “Moon Mine”"], [evening], facts, titles=titles)
    assert (frame["num_title"].item(), frame["false_title"].item()) == (2, 1)


def test_check_lists_of_different_length_are_refused(facts, evening):
    with pytest.raises(DataError, match=r"have \[1, 2\] entries"):
        faithful.check(["a", "b"], [evening, evening], facts, num_tokens=[1, 1], template_tokens=[1])


def test_check_no_texts_give_an_empty_frame_and_a_summary_of_zeros(facts):
    assert set(faithful.summary(check([], [], facts)).values()) == {0.0}


def test_summary_shares_are_over_all_texts_together(facts, evening):
    texts = ["<item:1> <item:2> x2 so", "<item:5> x2", ""]
    frame = faithful.check(
        texts,
        [evening, evening, History("new", ())],
        facts,
        num_tokens=[4, 2, 0],
        template_tokens=[10, 10, 0],
    )
    found = faithful.summary(frame)
    # Statements: films 1, 2 true and 5 false; x2 of film 2 false (taken once), x2 of film 5 false.
    assert found["num_statements"] == 5
    assert found["share_false"] == pytest.approx(3 / 5)
    assert found["share_false_item"] == pytest.approx(1 / 3)
    assert found["share_false_count"] == 1.0
    assert (found["num_taste"], found["share_false_taste"]) == (0.0, 0.0)
    assert found["share_unparsed"] == pytest.approx(1 / 6)
    assert found["share_contexts_kept"] == 0.0
    assert found["compression"] == pytest.approx((0.4 + 0.2) / 2)  # the user without events has no ratio


@given(text=st.text(max_size=60) | st.text(alphabet="<item:123> x2d.likes", max_size=60))
def test_summary_any_text_gives_shares_between_zero_and_one(text, facts, evening):
    found = faithful.summary(check([text], [evening], facts))
    shares = [value for name, value in found.items() if name.startswith("share_")]
    assert all(0.0 <= share <= 1.0 for share in shares)
