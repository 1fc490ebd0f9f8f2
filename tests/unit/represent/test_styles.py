import numpy as np
import pytest

from raconteur.config.schema import DataConfig
from raconteur.represent.citations import resolve
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mentioned
from raconteur.represent.styles import CLEAN, Style, StyleVerbalizer, all_styles, draw_style, written


def text_of(history, style, facts):
    return resolve(written(history.events, style, facts), history.events, facts)


def test_is_take_short_play_and_impression_are_not(evening, facts):
    assert [facts.is_take(event) for event in evening.events] == [True, False, True, False, True]


def test_clean_drops_noise_aggregates_repeats_and_summarises_taste(evening, facts):
    # Taken: 1, 2, 1. Distinct titles 1 (drama) and 2 (drama, crime): drama twice, crime once.
    assert written(evening.events, CLEAN, facts) == "<taste> <e3> <e1> <count>"
    assert text_of(evening, CLEAN, facts) == "likes drama crime . <item:2> <item:1> x2"


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style(taste="none", repeats="all"), "<item:1> <item:2> <item:1>"),
        (Style(taste="none", repeats="once", detail="category"), "<item:2> drama <item:1> drama"),
        (Style(taste="last", repeats="once", num_items=1), "<item:1> likes drama crime ."),
        (Style("valued", taste="none", repeats="once", num_items=2), "<item:4> <item:1>"),
        (Style("all", taste="none", repeats="once", detail="raw", num_items=2), "<item:4> play 0.4 <item:1> play 44"),
    ],
)
def test_written_each_setting_does_what_it_says(evening, facts, style, text):
    assert text_of(evening, style, facts) == text


def test_all_styles_holds_each_style_that_is_drawn_once():
    rng = np.random.default_rng(0)
    styles = all_styles()
    assert len(set(styles)) == len(styles) == 3**5
    assert {draw_style(rng) for _ in range(200)} | {CLEAN} <= set(styles)


def test_written_any_style_names_only_items_of_the_log(evening, facts):
    rng = np.random.default_rng(1)
    logged = {event.item_id for event in evening.events}
    for _ in range(200):
        assert set(mentioned(text_of(evening, draw_style(rng), facts))) <= logged


def test_style_verbalizer_items_without_a_catalogue_entry_are_written_without_taste(evening):
    text = StyleVerbalizer(CLEAN, Facts({}, DataConfig(min_value=10.0)), max_events=40).write([evening])[0]
    assert text == "<item:2> <item:1> x2"


def test_style_verbalizer_empty_history_gives_empty_text(evening, facts):
    assert StyleVerbalizer(CLEAN, facts, max_events=40).write([type(evening)("new", ())]) == [""]
