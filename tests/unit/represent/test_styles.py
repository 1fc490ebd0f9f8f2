import numpy as np
import pytest

from raconteur.config.schema import DataConfig
from raconteur.represent.mentions import mentioned
from raconteur.represent.styles import CLEAN, Style, StyleVerbalizer, draw_style, is_take, rewrite

WORLD = DataConfig(min_value=10.0)


def written(history, style, items):
    return rewrite(history, style, items, WORLD, np.random.default_rng(0))


def test_is_take_short_play_and_impression_are_not(evening):
    assert [is_take(event, WORLD) for event in evening.events] == [True, False, True, False, True]


def test_rewrite_clean_drops_noise_aggregates_repeats_and_summarises_taste(evening, items):
    # Taken: 1, 2, 1. Distinct titles 1 (drama) and 2 (drama, crime): drama twice, crime once.
    assert written(evening, CLEAN, items) == "likes drama crime . <item:2> <item:1> x2"


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style(taste="none", repeats="all"), "<item:1> <item:2> <item:1>"),
        (Style(taste="none", repeats="once", detail="category"), "<item:2> drama <item:1> drama"),
        (Style(taste="last", repeats="once", num_items=1), "<item:1> likes drama crime ."),
        (
            Style(keep="all", taste="none", repeats="once", detail="raw", num_items=2),
            "<item:4> play 0.4 <item:1> play 44",
        ),
    ],
)
def test_rewrite_each_setting_does_what_it_says(evening, items, style, text):
    assert written(evening, style, items) == text


def test_rewrite_any_style_names_only_items_of_the_log(evening, items):
    rng = np.random.default_rng(1)
    logged = {event.item_id for event in evening.events}
    for _ in range(200):
        assert set(mentioned(rewrite(evening, draw_style(rng), items, WORLD, rng))) <= logged


def test_style_verbalizer_items_without_a_catalogue_entry_are_written_without_taste(evening):
    text = StyleVerbalizer(CLEAN, {}, WORLD, max_events=40).write([evening])[0]
    assert text == "<item:2> <item:1> x2"
