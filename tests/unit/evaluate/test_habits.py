import numpy as np
import pytest

from raconteur.evaluate.habits import DEFINITIONS, Pair, Rate, measure, page, pairs
from raconteur.represent.mentions import expand
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.represent.template import event_text
from raconteur.types import History


@pytest.fixture
def raw(evening):
    return " ".join(event_text(event, evening.events[-1].event_time) for event in evening.events)


@pytest.fixture
def rates(raw, evening, facts):
    """Rates of one text of the evening. Taken: films 1 (rows 0, 4) and 2 (row 2); noise: films 3 (row 1), 4 (row 3)."""

    def of(text):
        return {habit: rate.value for habit, rate in measure([raw], [text], [evening], facts).items()}

    return of


def test_measure_raw_log_has_none_of_the_habits_and_keeps_all(rates, raw):
    assert rates(raw) == {
        "syntax normalised": 0.0,
        "noise dropped": 0.0,
        "takes kept": 1.0,
        "metadata added": 0.0,
        "repeats aggregated": 0.0,
        "taste summarised": 0.0,
        "order kept": 1.0,
    }


def test_measure_clean_text_by_hand_has_all_but_metadata(rates, evening, facts):
    (text,) = StyleVerbalizer(CLEAN, facts, max_events=9).write([evening])
    assert text == "likes Drama Crime . <item:2> <item:1> x2"
    assert rates(text) == dict.fromkeys(DEFINITIONS, 1.0) | {"metadata added": 0.0}


def test_measure_text_between_them_by_hand(rates):
    # Named: 4 (noise, with its fields), 1 with a category, 1 again; 2 is missing, 3 is left out.
    found = rates("<item:4> play 0.4 <item:1> Drama <item:1>")
    assert found == {
        "syntax normalised": pytest.approx(2 / 3),
        "noise dropped": 0.5,
        "takes kept": 0.5,
        "metadata added": pytest.approx(1 / 3),
        "repeats aggregated": 0.0,
        "taste summarised": 0.0,
        "order kept": 0.5,  # 4 (row 3) then 1 (row 4); the second 1 has no event left behind it
    }


def test_measure_false_category_is_no_metadata(rates):
    assert rates("<item:1> Crime")["metadata added"] == 0.0


def test_measure_category_that_the_raw_log_holds_is_not_added(raw, evening, facts):
    found = measure([f"{raw} drama"], ["<item:1> Drama"], [evening], facts)
    assert found["metadata added"].value == 0.0


def test_measure_item_named_beyond_its_takes_keeps_noise(rates):
    assert rates("<item:3> <item:3>")["noise dropped"] == 0.5  # film 3 has one event, film 4 is left out


def test_measure_items_outside_the_log_are_not_counted(rates):
    found = rates("<item:5> <item:1>")
    assert (found["syntax normalised"], found["order kept"]) == (1.0, None)


@pytest.mark.parametrize(("text", "kept"), [("1 3 2 4 1", 1.0), ("4 2 3", 0.0), ("2 1 3", 0.5), ("1 1", 1.0)])
def test_measure_order_kept_matches_neighbours_to_events(rates, text, kept):
    assert rates(" ".join(f"<item:{item}>" for item in text.split()))["order kept"] == kept


def test_measure_counts_over_all_users_together(raw, evening, facts):
    histories = [evening, evening, History("new", ())]
    found = measure([raw, raw, ""], ["<item:1>", "likes drama . <item:1> <item:2>", ""], histories, facts)
    assert found["takes kept"].value == 0.75
    assert found["taste summarised"].value == pytest.approx(1 / 3)


def test_measure_nothing_to_count_is_none_not_zero(facts):
    found = measure([""], [""], [History("new", ())], facts)
    assert found["taste summarised"].value == 0.0
    assert [found[habit].value for habit in DEFINITIONS if habit != "taste summarised"] == [None] * 6


def test_pairs_one_user_of_each_part_from_short_to_long_seeded():
    raws = ["a b c d"] * 8 + [""]
    texts = [" ".join("x" * (1 + user // 2)) for user in range(8)] + [""]
    drawn = pairs(raws, texts, num=4, rng=np.random.default_rng(3), expand=str.upper)
    assert [pair.after for pair in drawn] == ["X", "X X", "X X X", "X X X X"]
    assert {pair.before for pair in drawn} == {"A B C D"}
    assert drawn == pairs(raws, texts, num=4, rng=np.random.default_rng(3), expand=str.upper)


def test_pairs_more_than_users_gives_each_once_and_none_gives_none():
    assert len(pairs(["a", "b"], ["a", "b"], num=5, rng=np.random.default_rng(0), expand=str)) == 2
    assert pairs([""], [""], num=5, rng=np.random.default_rng(0), expand=str) == []


def test_pairs_write_the_titles_in(raw, titles):
    (pair,) = pairs([raw], ["<item:1>"], num=1, rng=np.random.default_rng(0), expand=lambda text: expand(text, titles))
    assert pair.after == "“Harbour Lights”"
    assert "<item:" not in pair.before


def test_page_shows_each_habit_with_its_definition_and_a_column_a_verbalizer():
    clean = {habit: Rate(0.5, definition) for habit, definition in DEFINITIONS.items()}
    learned = {habit: Rate(None, definition) for habit, definition in DEFINITIONS.items()}
    text = page({"clean": clean, "rewrite": learned}, {"rewrite": [Pair("2d play “A”", "“A”")]})
    assert "| habit | definition | clean | rewrite |\n|---|---|---:|---:|\n" in text
    assert f"| taste summarised | {DEFINITIONS['taste summarised']} | 50.0% | – |" in text
    assert "### rewrite, user 1\n\nThe log:\n\n```text\n2d play “A”\n```\n" in text


def test_page_texts_with_backticks_and_long_lines_stay_data():
    hostile = "``` # Not a heading ````\n\n# nor this " + "word " * 60
    text = page({}, {"rewrite": [Pair(hostile, "")]})
    fences = [line for line in text.splitlines() if line.startswith("`````")]
    assert fences == ["`````text", "`````"]
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# What the Verbalizer learned"]
    assert max(map(len, text.split("`````")[1].splitlines())) <= 110
