from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from raconteur.config.schema import DataConfig
from raconteur.represent.citations import numbered_log, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mentioned
from raconteur.represent.styles import Style, written
from raconteur.types import Event


def test_numbered_log_newest_event_comes_first_and_is_number_one(evening):
    log = numbered_log(evening.events[-2:], evening.events[-1].event_time)
    assert log == "0d play 44 tv S1E2 <item:1> <e1> 0d play 0.4 phone <item:4> <e2>"


def test_written_repeats_are_cited_each_at_its_own_event(evening, facts):
    assert written(evening.events, Style(taste="none", repeats="all"), facts) == "<e5> <e3> <e1>"


def test_resolve_markers_are_filled_in_from_log_and_catalogue(evening, facts):
    text = resolve("<taste><e3><category><e1><count><e2><raw>", evening.events, facts)
    assert text == "likes drama crime . <item:2> drama <item:1> x2 <item:4> play 0.4"


def test_resolve_citation_of_nothing_or_twice_and_item_not_in_the_log_are_dropped(evening, facts):
    assert resolve("<e1> <e6> <e0> <item:99> <item:2> <e1> <e1>", evening.events, facts) == "<item:1> <item:2>"


def test_resolve_marker_without_a_citation_states_nothing(evening, facts):
    assert resolve("<category> <count> <e9> <raw> crime", evening.events, facts) == "crime"


@given(text=st.text(alphabet="<e123>item:cout tas", max_size=60))
def test_resolve_any_text_names_only_items_of_the_log(text):
    events = [Event("1", datetime(2025, 1, 1, tzinfo=UTC), "play")]
    assert set(mentioned(resolve(text, events, Facts({}, DataConfig())))) <= {"1"}
