from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import DataError
from raconteur.features.recent import decode_events, encode_events
from raconteur.types import Event

events = st.builds(
    Event,
    item_id=st.text(max_size=6),
    event_time=st.datetimes(timezones=st.just(UTC)),
    event_type=st.text(max_size=6),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    session_id=st.none() | st.text(max_size=6),
    context=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


@given(st.lists(events, max_size=4))
def test_recent_events_round_trip_keeps_every_field(drawn):
    assert list(decode_events(encode_events(drawn))) == drawn


def test_recent_events_other_zone_is_the_same_instant():
    event = Event("i", datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "play")
    assert decode_events(encode_events([event]))[0].event_time == datetime(2026, 1, 1, tzinfo=UTC)


def test_recent_events_empty_text_is_no_event():
    assert decode_events("") == ()


@pytest.mark.parametrize("lines", ["{", '{"item_id":"i"}', "[]", "1", '"a"'])
def test_recent_events_malformed_line_is_refused(lines):
    with pytest.raises(DataError, match="build the features again"):
        decode_events(lines)
