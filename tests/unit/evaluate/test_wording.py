from hypothesis import given
from hypothesis import strategies as st

from raconteur.evaluate.wording import Clause, Mention, Phrases, Word, clauses, ids_by_title, phrase, tokens
from raconteur.represent.mentions import mention


def words_of(clause: Clause) -> str:
    return " ".join(word.text for word in clause.words)


def test_tokens_mentions_words_and_sentence_ends():
    found = tokens("likes drama . <item:17>. Then (crime)!", {}, logged=[])
    assert found == [
        Word("likes"),
        Word("drama", ends=True),
        Mention("<item:17>", ("17",), quoted=False),
        Word("", ends=True),
        Word("Then"),
        Word("crime", ends=True),
    ]


def test_tokens_glued_mentions_and_an_unfinished_one():
    found = tokens("a<item:1><item:2>b <item:", {}, logged=[])
    assert [token.text for token in found] == ["a", "<item:1>", "<item:2>", "b", "item"]


def test_tokens_quotation_marks_name_titles_only_where_titles_are_given():
    ids = ids_by_title({"1": "Night  Ferry", "2": "Night Ferry"})
    assert tokens("“Night Ferry”", ids, logged=["Night Ferry"]) == [Mention("Night Ferry", ("1", "2"), quoted=True)]
    assert tokens("“Night Ferry”", {}, logged=[]) == [Word("Night"), Word("Ferry")]


def test_tokens_title_that_holds_quotation_marks_is_one_mention():
    ids = ids_by_title({"1": "The “Best” Film", "2": "The “Best"})
    found = tokens("“The “Best” Film” “Other”", ids, logged=["The “Best” Film"])
    assert found == [Mention("The “Best” Film", ("1",), quoted=True), Mention("Other", (), quoted=True)]


def test_clauses_an_age_begins_a_row_about_the_next_mention():
    found = clauses(tokens("likes <item:1> drama 2d play 43 tv <item:2> x2", {}, logged=[]))
    assert [(clause.mention, clause.items, clause.is_row, words_of(clause)) for clause in found] == [
        (None, (), False, "likes"),
        (0, ("1",), False, "drama"),
        (1, ("2",), True, "2d play 43 tv"),
        (1, ("2",), False, "x2"),
    ]


def test_clauses_an_age_without_a_mention_after_it_is_said_of_the_one_before():
    (clause,) = clauses(tokens("<item:1> 2d play", {}, logged=[]))
    assert (clause.mention, clause.is_row, words_of(clause)) == (0, False, "2d play")


def test_phrase_case_punctuation_and_brackets_do_not_count():
    assert phrase(" (Toys,  Games) & <Co.> ") == ("toys", "games", "&", "‹co.›")
    assert phrase(" ... ") == ()


def test_phrases_longest_first_and_never_beyond_the_end():
    known = Phrases([("a",), ("a", "b"), ("a", "b", "c"), ()])
    assert known.lengths(("x", "a", "b"), 1) == [2, 1]
    assert known.lengths(("x",), 0) == []
    assert Phrases([]).lengths(("a",), 0) == []


@given(item_ids=st.lists(st.text(min_size=1), max_size=5))
def test_tokens_every_mention_comes_back_whatever_the_id(item_ids):
    found = tokens(" ".join(map(mention, item_ids)), {}, logged=[])
    assert [token.items for token in found if isinstance(token, Mention)] == [(item_id,) for item_id in item_ids]


@given(text=st.text(max_size=80))
def test_clauses_no_word_is_lost_or_doubled(text):
    found = tokens(text, {}, logged=[])
    assert sum(len(clause.words) for clause in clauses(found)) == sum(isinstance(token, Word) for token in found)
