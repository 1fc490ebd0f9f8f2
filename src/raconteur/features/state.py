"""What the online path knows about one user, and how a new event changes it.

`advance` is the single-event twin of `user.user_features`: batch and online rows of the same events are equal, which
tests/unit/features/test_state.py holds by property. A late event is counted, and takes its place in the newest events
by its time; in the items taken it stands in the order of arrival until the next batch build.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raconteur.columns import USER_ID
from raconteur.errors import DataError
from raconteur.features import names as f
from raconteur.features.recent import decode_events, encode_events
from raconteur.features.rules import Rules
from raconteur.types import Event, Narrative

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class UserState:
    """The counts and lists of a user's feature row (meanings: `names`), with the narrative if one was written."""

    user_id: str
    num_events: int = 0
    num_targets: int = 0
    num_tries: int = 0
    num_values: int = 0
    value_total: float = 0.0
    last_event_time: datetime | None = None
    categories: tuple[tuple[str, int], ...] = ()  # takes a category, most taken first, then by name
    recent_items: tuple[str, ...] = ()
    recent_events: tuple[Event, ...] = ()
    seen_items: tuple[str, ...] = ()
    narrative: Narrative | None = None


def advance(
    state: UserState, events: Sequence[Event], *, categories: Mapping[str, Sequence[str]], rules: Rules
) -> UserState:
    """The state after further events, in the order given; a repeat of one of the newest events changes nothing.

    Args:
        categories: of the events' items, from the catalogue.
    """
    for event in events:
        state = _with_event(state, event, categories.get(event.item_id, ()), rules)
    return state


def state_row(state: UserState) -> dict[str, Any]:
    """The feature row of a state at its last event, without timestamps; the inverse of `row_state`.

    Raises:
        DataError: the user has no event, so there is no moment that the row could stand for.
    """
    if state.last_event_time is None:
        raise DataError(f"user {state.user_id} has no event yet: a feature row needs at least one")
    names = [name for name, _ in state.categories]
    return {
        USER_ID: state.user_id,
        f.NUM_EVENTS: state.num_events,
        f.NUM_TARGETS: state.num_targets,
        f.NUM_TRIES: state.num_tries,
        f.NUM_ITEMS: len(state.seen_items),
        f.NUM_VALUES: state.num_values,
        f.VALUE_TOTAL: state.value_total,
        f.MEAN_VALUE: state.value_total / state.num_values if state.num_values else None,
        f.SHARE_SHORT: 1 - state.num_targets / state.num_tries if state.num_tries else None,
        f.DAYS_SINCE_LAST: 0.0,
        f.LAST_EVENT_US: (state.last_event_time - EPOCH) // MICROSECOND,
        f.CATEGORY_NAMES: names,
        f.CATEGORY_COUNTS: [count for _, count in state.categories],
        f.TOP_CATEGORIES: names[: f.NUM_TOP_CATEGORIES],
        f.RECENT_ITEMS: list(state.recent_items),
        f.RECENT_EVENTS: encode_events(state.recent_events),
        f.SEEN_ITEMS: list(state.seen_items),
    }


def row_state(row: Mapping[str, Any]) -> UserState:
    """The state that a feature row keeps."""
    return UserState(
        user_id=row[USER_ID],
        num_events=row[f.NUM_EVENTS],
        num_targets=row[f.NUM_TARGETS],
        num_tries=row[f.NUM_TRIES],
        num_values=row[f.NUM_VALUES],
        value_total=row[f.VALUE_TOTAL],
        last_event_time=from_us(row[f.LAST_EVENT_US]),
        categories=tuple(zip(row[f.CATEGORY_NAMES] or (), row[f.CATEGORY_COUNTS] or (), strict=True)),
        recent_items=tuple(row[f.RECENT_ITEMS] or ()),
        recent_events=decode_events(row[f.RECENT_EVENTS] or ""),
        seen_items=tuple(row[f.SEEN_ITEMS] or ()),
    )


def with_narrative(state: UserState, row: Mapping[str, Any]) -> UserState:
    """Adds the narrative of a row that holds its columns; a user without a text keeps None."""
    as_of = from_us(row[f.AS_OF_US])
    if row[f.TEXT] is None or as_of is None:
        return state
    narrative = Narrative(state.user_id, row[f.TEXT], as_of, row[f.VERBALIZER_VERSION], row[f.CATALOGUE_VERSION])
    return replace(state, narrative=narrative)


def from_us(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + microseconds * MICROSECOND


def _with_event(state: UserState, event: Event, categories: Sequence[str], rules: Rules) -> UserState:
    if event in state.recent_events:
        return state  # a client that retries sends the same row twice; prepare drops exact duplicates too
    newest = sorted((*state.recent_events, event), key=lambda known: known.event_time)[-rules.num_recent_events :]
    state = replace(
        state,
        num_events=state.num_events + 1,
        num_tries=state.num_tries + (event.event_type in rules.targets),
        last_event_time=max(state.last_event_time or event.event_time, event.event_time),
        recent_events=tuple(newest),
        seen_items=state.seen_items if event.item_id in state.seen_items else (*state.seen_items, event.item_id),
    )
    return _with_take(state, event, categories, rules) if rules.takes(event.event_type, event.value) else state


def _with_take(state: UserState, event: Event, categories: Sequence[str], rules: Rules) -> UserState:
    counts = Counter(dict(state.categories))
    counts.update(categories)
    return replace(
        state,
        num_targets=state.num_targets + 1,
        num_values=state.num_values + (event.value is not None),
        value_total=state.value_total + (event.value or 0.0),
        categories=tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        recent_items=(*state.recent_items, event.item_id)[-rules.num_recent_items :],
    )
