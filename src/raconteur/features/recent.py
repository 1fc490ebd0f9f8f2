"""Raw events as JSON lines, the form in which a feature row keeps the newest of them.

Frames write with Polars, single events with `json`; both read back through `decode_events`.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from raconteur.columns import CONTEXT, EVENT_TIME, EVENT_TYPE, ITEM_ID, SESSION_ID, VALUE
from raconteur.errors import DataError
from raconteur.types import Event

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


def event_lines() -> pl.Expr:
    """One JSON object an event, of the columns of the prepared event table."""
    time = pl.col(EVENT_TIME).dt.convert_time_zone("UTC").dt.to_string(TIME_FORMAT)
    context = pl.col(CONTEXT).cast(pl.Map(pl.String, pl.String))  # a JSON object, whichever form the frame holds
    return pl.struct(ITEM_ID, time, EVENT_TYPE, VALUE, SESSION_ID, context).struct.json_encode()


def encode_events(events: Sequence[Event]) -> str:
    return "\n".join(json.dumps(_plain(event), ensure_ascii=False) for event in events)


def decode_events(lines: str) -> tuple[Event, ...]:
    """
    Raises:
        DataError: a line is no event.
    """
    try:
        # One parse for all lines: JSON escapes line ends inside texts, so a raw one only separates.
        return tuple(_event(fields) for fields in orjson.loads(f"[{lines.replace(chr(10), ',')}]"))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"recent events are not JSON lines of events ({error!r}); build the features again") from None


def _plain(event: Event) -> dict[str, Any]:
    return {
        ITEM_ID: event.item_id,
        EVENT_TIME: event.event_time.isoformat(timespec="microseconds"),
        EVENT_TYPE: event.event_type,
        VALUE: event.value,
        SESSION_ID: event.session_id,
        CONTEXT: dict(event.context),
    }


def _event(fields: dict[str, Any]) -> Event:
    return Event(
        item_id=fields[ITEM_ID],
        event_time=datetime.fromisoformat(fields[EVENT_TIME]),
        event_type=fields[EVENT_TYPE],
        value=fields[VALUE],
        session_id=fields[SESSION_ID],
        context=dict(fields[CONTEXT] or {}),
    )
