from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raconteur.config.schema import DataConfig
from raconteur.represent.citations import cited, numbered_log, resolve
from raconteur.represent.mentions import mentioned
from raconteur.represent.styles import Style, draw_style, rewrite


def test_numbered_log_newest_event_is_number_one(evening):
    log = numbered_log(evening.events[-2:], evening.events[-1].event_time)
    assert log == "0d play 0.4 phone <item:4> <e2> 0d play 44 tv S1E2 <item:1> <e1>"


def test_rewrite_cited_repeats_are_cited_each_at_its_own_event(evening, items):
    style = Style(taste="none", repeats="all")
    rng = np.random.default_rng(0)
    text = rewrite(evening, style, items, DataConfig(min_value=10), rng, name=partial(cited, num_events=5))
    assert text == "<e5> <e3> <e1>"


def test_resolve_citation_of_nothing_and_item_not_in_the_log_are_dropped(evening):
    assert resolve("<e1> x2 <e6> <e0> <item:99> <item:2>", evening.events) == "<item:1> x2 <item:2>"


def test_resolve_any_cited_style_equals_the_style_with_mentions(evening, items):
    data, name = DataConfig(min_value=10), partial(cited, num_events=5)
    for seed in range(100):
        style = draw_style(np.random.default_rng(seed))
        plain = rewrite(evening, style, items, data, np.random.default_rng(seed))
        with_citations = rewrite(evening, style, items, data, np.random.default_rng(seed), name=name)
        assert resolve(with_citations, evening.events) == plain


@given(text=st.text(alphabet="<e123>item: x", max_size=60))
def test_resolve_any_text_names_only_items_of_the_log(text):
    from datetime import UTC, datetime

    from raconteur.types import Event

    events = [Event("1", datetime(2025, 1, 1, tzinfo=UTC), "play")]
    assert set(mentioned(resolve(text, events))) <= {"1"}
