"""The recommender's view of the feature store: one user's state and narrative, and what is pushed for the next read.

Rows are read and written through Feast's provider. `FeatureStore.get_online_features` and `push` ask it the same, but
resolve names in every call and pass a row through a response of columns, or through Pandas and Arrow: for one user
that is most of the time. A push reads the user's row, moves it on with the same functions that the batch build is
checked against, and writes it online; the next read, in any process, sees it.

    late event                counted and seen by retrieval at once; in the text where it is newer than the narrative,
                              otherwise when the narrative is written again
    same event again          nothing changes, as long as the first one is among the newest `text.max_events`; an event
                              that was sent without a time gets the time of its arrival, and so counts again
    item not in the catalogue left out, as the prepare step leaves it out
    time ahead of our clock   kept as it was sent (the request allows 5 minutes); it stays the newest until then
"""

import os
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import FeatureStore, FeatureView
from feast.infra.provider import Provider, get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values

from raconteur.columns import USER_ID
from raconteur.errors import DataError, ServingError
from raconteur.features import names as f
from raconteur.features.rules import load_rules
from raconteur.features.state import (
    EPOCH,
    MICROSECOND,
    UserState,
    advance,
    from_us,
    row_state,
    state_row,
    with_narrative,
)
from raconteur.types import Event, Narrative

YAML = "feature_store.yaml"
STATE = (
    *(f.NUM_EVENTS, f.NUM_TARGETS, f.NUM_TRIES, f.NUM_VALUES, f.VALUE_TOTAL, f.LAST_EVENT_US),
    *(f.CATEGORY_NAMES, f.CATEGORY_COUNTS, f.RECENT_ITEMS, f.RECENT_EVENTS, f.SEEN_ITEMS),
)
NARRATIVE = (f.TEXT, f.AS_OF_US, f.VERBALIZER_VERSION, f.CATALOGUE_VERSION)


class OnlineFeatures:
    """Safe to share between threads: each reads through a connection of its own, so that it never waits for a push nor
    sees a part of one; pushes of one process wait for each other.

    Raises:
        ServingError: the folder holds no feature store, or (in any call) the online store does not answer.
    """

    def __init__(self, store: Path) -> None:
        _check(store / YAML)
        try:
            self._rules = load_rules(store)
            self._feast = FeatureStore(repo_path=str(store.resolve()))
            self._states = self._feast.get_feature_view(f.USER_TABLE)
            self._narratives = self._feast.get_feature_view(f.NARRATIVE_TABLE)
            self._writing = get_provider(self._feast.config)
        except Exception as error:  # Feast raises whatever its parts raise
            raise ServingError(f"the feature store {store} cannot be opened: {error}") from error
        self._own = threading.local()
        self._pushing = threading.Lock()

    def read(self, user_id: str) -> UserState | None:
        """None for a user that the store does not know."""
        row = {USER_ID: user_id, **self._row(self._states, STATE, user_id)}
        if row[f.NUM_EVENTS] is None:
            return None
        return with_narrative(row_state(row), self._row(self._narratives, NARRATIVE, user_id))

    def push(self, user_id: str, events: Sequence[Event], categories: Mapping[str, Sequence[str]]) -> UserState | None:
        """Applies events to a user, known or new, and returns the new state; None if the user stays unknown.

        Args:
            categories: of every item of the catalogue; the catalogue is in the recommender's process anyway.

        Raises:
            DataError: an event's time has no zone.
        """
        for event in events:
            if event.event_time.tzinfo is None:
                raise DataError(f"event of item {event.item_id} has a time without a zone; send UTC")
        usable = [event for event in events if event.item_id in categories]
        with self._pushing:
            known = self.read(user_id)
            before = known or UserState(user_id)
            after = advance(before, usable, categories=categories, rules=self._rules)
            if after == before:
                return known
            assert after.last_event_time is not None  # it has an event now
            self._write(self._states, state_row(after), moment=after.last_event_time)
        return after

    def push_narrative(self, narrative: Narrative) -> bool:
        """Writes a text online; False, and nothing is written, if the stored one covers a later moment.

        The batch step's texts of all users do not come this way, and its table is where they are kept.
        """
        row = {
            USER_ID: narrative.user_id,
            f.TEXT: narrative.text,
            f.VERBALIZER_VERSION: narrative.verbalizer_version,
            f.CATALOGUE_VERSION: narrative.catalogue_version,
            f.AS_OF_US: (narrative.as_of - EPOCH) // MICROSECOND,
            f.NUM_TOKENS: None,  # known to the batch step, which has the tokenizer; nothing online reads it
        }
        with self._pushing:
            stored = from_us(self._row(self._narratives, (f.AS_OF_US,), narrative.user_id)[f.AS_OF_US])
            if stored is not None and stored > narrative.as_of:
                return False
            self._write(self._narratives, row, moment=narrative.as_of)
        return True

    def _row(self, view: FeatureView, names: Sequence[str], user_id: str) -> dict[str, Any]:
        wanted = list(names)  # of this call: a store may add fields of its own to it, and Redis does
        try:
            ((_, values),) = self._provider().online_read(self._feast.config, view, [_key(user_id)], wanted)
        except Exception as error:  # a boundary: SQLite, Redis and Feast each raise their own
            raise ServingError(f"the online store did not answer: {error}") from error
        found = values or {}
        return {name: feast_value_type_to_python_type(found[name]) if name in found else None for name in names}

    def _provider(self) -> Provider:
        """Of this thread: on one SQLite connection a read would see what a push has not committed yet."""
        if not hasattr(self._own, "provider"):
            self._own.provider = get_provider(self._feast.config)
        return self._own.provider

    def _write(self, view: FeatureView, row: Mapping[str, Any], *, moment: datetime) -> None:
        values = {
            field.name: python_values_to_proto_values([row[field.name]], field.dtype.to_value_type())[0]
            for field in view.features
        }
        written = (_key(row[USER_ID]), values, moment, datetime.now(UTC))
        try:
            self._writing.online_write_batch(self._feast.config, view, [written], None)
        except Exception as error:
            raise ServingError(f"the online store did not take a row of {view.name}: {error}") from error


def _key(user_id: str) -> EntityKey:
    return EntityKey(join_keys=[USER_ID], entity_values=[Value(string_val=user_id)])


def _check(settings: Path) -> None:
    """Before Feast reads them: where a variable is missing it would look for a host of that name."""
    if not settings.is_file():
        raise ServingError(f"{settings.parent} is no feature store: {YAML} is missing; run the pipeline first")
    missing = [name for name in re.findall(r"\$\{(\w+)\}", settings.read_text()) if name not in os.environ]
    if missing:
        raise ServingError(f"{settings} needs {', '.join(missing)} in the environment; set it, see feature_repo/README")
