"""Small real things to evaluate: a retriever of four films whose scores stand in its table, and a user's evening."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from raconteur.config.schema import DataConfig
from raconteur.represent.facts import Facts
from raconteur.types import Event, History

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


class Tabled:
    """Scores a film by the sum of its links to the films of the history."""

    name = "tabled"
    item_ids = ("alien", "brazil", "clue", "dune")
    links = np.array([[0, 3, 2, 1], [3, 0, 1, 2], [2, 1, 0, 3], [1, 2, 3, 0]], dtype=np.float32)

    def score(self, histories):
        index = {item: column for column, item in enumerate(self.item_ids)}
        rows = [sum((self.links[index[item]] for item in history), np.zeros(4)) for history in histories]
        return np.array(rows, dtype=np.float32).reshape(len(histories), 4)


@pytest.fixture
def tabled():
    return Tabled()


@pytest.fixture(scope="session")
def facts() -> Facts:
    """Harbour Lights, The Clockmaker, Snow Foxes, Night Ferry, Moon Mine; a take is a play of ten minutes."""
    categories = {
        "1": ("Drama",),
        "2": ("Drama", "Crime"),
        "3": ("Family",),
        "4": ("Science Fiction",),
        "5": ("Science", "Crime"),
    }
    return Facts(categories, DataConfig(min_value=10.0))


@pytest.fixture(scope="session")
def titles() -> dict[str, str]:
    return {"1": "Harbour Lights", "2": "The Clockmaker", "3": "Snow Foxes", "4": "Night Ferry", "5": "Moon Mine"}


@pytest.fixture(scope="session")
def evening() -> History:
    """Films 1 (twice) and 2 are taken; 3 is only shown and 4 played by accident; 5 is not in the log."""

    def event(item_id, hours, event_type, value=None, **context):
        return Event(item_id, NOON + timedelta(hours=hours), event_type, value, "s-9", context)

    return History(
        "ann",
        (
            event("1", -48, "play", 43.4, device="tv"),
            event("3", -47, "impression", device="tv"),
            event("2", -24, "play", 91.0, device="tv"),
            event("4", -23, "play", 0.4, device="kids tablet"),
            event("1", -1, "play", 44.0, device="tv", episode="S1E2"),
        ),
    )
