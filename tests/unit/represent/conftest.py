"""A four-film catalogue and one evening of events."""

from datetime import UTC, datetime, timedelta

import pytest

from raconteur.config.schema import DataConfig
from raconteur.represent.citations import VOCABULARY
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.types import Event, History

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def facts() -> Facts:
    """Harbour Lights, The Clockmaker, Snow Foxes, Night Ferry; a take is a play of ten minutes."""
    categories = {"1": ("drama",), "2": ("drama", "crime"), "3": ("family",), "4": ("crime",)}
    return Facts(categories, DataConfig(min_value=10.0))


@pytest.fixture
def evening() -> History:
    def event(item_id, hours, event_type, value=None, **context):
        return Event(item_id, NOON + timedelta(hours=hours), event_type, value, None, context)

    return History(
        "ann",
        (
            event("1", -48, "play", 43.4, device="tv"),
            event("3", -47, "impression", device="tv"),
            event("2", -24, "play", 91.0, device="tv"),
            event("4", -23, "play", 0.4, device="phone"),
            event("1", -1, "play", 44.0, device="tv", episode="S1E2"),
        ),
    )


@pytest.fixture(scope="session")
def tokenizer():
    texts = [" 2d play 43 tv", " 1d impression tv", " likes drama crime ."] * 20
    return train_tokenizer(texts, [*map(mention, "1234"), *VOCABULARY], 300)
