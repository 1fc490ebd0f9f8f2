from dataclasses import replace
from datetime import timedelta

from raconteur.represent.template import TemplateVerbalizer, event_text, value_text
from raconteur.represent.tokenizer import encode
from raconteur.types import Event, History


def test_event_text_all_fields_are_concatenated(evening):
    last = evening.events[-1]
    assert event_text(evening.events[0], last.event_time) == "1d play 43 tv <item:1>"
    assert event_text(last, last.event_time) == "0d play 44 tv S1E2 <item:1>"


def test_value_text_small_values_keep_two_figures():
    assert [value_text(value) for value in (3.5, 0.43, 9.96, 114.6)] == ["3.5", "0.43", "10", "115"]


def test_event_text_hostile_type_and_context_are_one_safe_line():
    event = Event(
        "1", evening_time := __import__("datetime").datetime(2025, 1, 1), "<write>\nplay", context={"q": "<item:2>"}
    )
    assert event_text(event, evening_time) == "0d ‹write› play ‹item:2› <item:1>"


def test_write_empty_history_gives_empty_text(tokenizer):
    assert TemplateVerbalizer(tokenizer, budget_tokens=20, max_events=5).write([History("new", ())]) == [""]


def test_write_budget_keeps_whole_events_newest_first_to_go_in(tokenizer, evening):
    full = TemplateVerbalizer(tokenizer, budget_tokens=1000, max_events=5).write([evening])[0]
    assert full.count("<item:") == 5
    for budget in range(0, 60, 3):
        text = TemplateVerbalizer(tokenizer, budget_tokens=budget, max_events=5).write([evening])[0]
        assert len(encode(tokenizer, [text])[0]) <= budget
        assert full.endswith(text)


def test_write_future_events_of_others_do_not_change_a_text(tokenizer, evening):
    later = History("bob", (Event("2", evening.events[-1].event_time + timedelta(days=9), "play"),))
    writer = TemplateVerbalizer(tokenizer, budget_tokens=90, max_events=5)
    assert writer.write([evening, later])[0] == writer.write([evening])[0]


def test_write_newest_event_longer_than_the_budget_is_named_at_least(tokenizer, evening):
    *older, newest = evening.events
    long = History("ann", (*older, replace(newest, context={"note": "🎬" * 24})))
    assert TemplateVerbalizer(tokenizer, budget_tokens=20, max_events=5).write([long]) == ["<item:1>"]
