"""The recommender's view of the feature store: one user's state and narrative, and new events pushed into it.

A read is one Feast call by feature list (a feature service would be looked up again in every call). A push reads the
user's row, moves it on with the same functions that the batch build is checked against, and writes it online; the next
read, in any process, sees it. Events of items outside the catalogue are left out, as the prepare step leaves them out.
"""

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import FeatureStore
from feast.data_source import PushMode

from raconteur.columns import CATEGORIES, ITEM_ID, TITLE, USER_ID
from raconteur.errors import DataError, ServingError
from raconteur.features import names as f
from raconteur.features.rules import load_rules
from raconteur.features.state import UserState, advance, row_state, state_row, with_narrative
from raconteur.types import Event

STATE = (
    *(f.NUM_EVENTS, f.NUM_TARGETS, f.NUM_TRIES, f.NUM_VALUES, f.VALUE_TOTAL, f.LAST_EVENT_US),
    *(f.CATEGORY_NAMES, f.CATEGORY_COUNTS, f.RECENT_ITEMS, f.RECENT_EVENTS, f.SEEN_ITEMS),
)
NARRATIVE = (f.TEXT, f.AS_OF_US, f.VERBALIZER_VERSION, f.CATALOGUE_VERSION)
USER_FEATURES = [f"{f.USER_TABLE}:{name}" for name in STATE] + [f"{f.NARRATIVE_TABLE}:{name}" for name in NARRATIVE]
ITEM_FEATURES = [f"{f.ITEM_TABLE}:{name}" for name in (TITLE, CATEGORIES)]


class OnlineFeatures:
    """Safe to share between threads; pushes of one process wait for each other.

    Raises:
        ServingError: the folder holds no feature store, or (in any call) the online store does not answer.
    """

    def __init__(self, store: Path) -> None:
        if not (store / "feature_store.yaml").is_file():
            raise ServingError(f"{store} is no feature store: feature_store.yaml is missing; run the pipeline first")
        try:
            self._rules = load_rules(store)
            self._feast = FeatureStore(repo_path=str(store.resolve()))
        except Exception as error:  # Feast raises whatever its parts raise
            raise ServingError(f"the feature store {store} cannot be opened: {error}") from error
        self._pushing = threading.Lock()

    def read(self, user_id: str) -> UserState | None:
        """None for a user that the store does not know."""
        row = self._ask(USER_FEATURES, USER_ID, [user_id])[0]
        if row[f.NUM_EVENTS] is None:
            return None
        return with_narrative(row_state(row), row)

    def push(self, user_id: str, events: Sequence[Event]) -> UserState | None:
        """Applies events to a user, known or new, and returns the new state; None if the user stays unknown.

        Raises:
            DataError: an event's time has no zone.
        """
        for event in events:
            if event.event_time.tzinfo is None:
                raise DataError(f"event of item {event.item_id} has a time without a zone; send UTC")
        with self._pushing:
            known = self.read(user_id)
            categories = self._categories({event.item_id for event in events})
            usable = [event for event in events if event.item_id in categories]
            before = known or UserState(user_id)
            after = advance(before, usable, categories=categories, rules=self._rules)
            if after == before:
                return known
            self._write(after)
        return after

    def _categories(self, item_ids: Iterable[str]) -> dict[str, Sequence[str]]:
        """Categories of the items that the catalogue has."""
        wanted = sorted(item_ids)
        rows = self._ask(ITEM_FEATURES, ITEM_ID, wanted) if wanted else []
        return {row[ITEM_ID]: row[CATEGORIES] or () for row in rows if row[TITLE] is not None}

    def _ask(self, features: list[str], key: str, values: list[str]) -> list[dict[str, Any]]:
        try:
            columns = self._feast.get_online_features(features, {key: values}).to_dict()
        except Exception as error:  # a boundary: SQLite, Redis and Feast each raise their own
            raise ServingError(f"the online store did not answer for {key} {values[:3]}: {error}") from error
        return [{name: column[index] for name, column in columns.items()} for index in range(len(values))]

    def _write(self, state: UserState) -> None:
        row = {**state_row(state), f.EVENT_TIMESTAMP: state.last_event_time, f.CREATED: datetime.now(UTC)}
        try:
            self._feast.push(f.USER_PUSH, pd.DataFrame([row]), to=PushMode.ONLINE)
        except Exception as error:
            raise ServingError(f"the online store did not take the events of user {state.user_id}: {error}") from error
