"""A four-film catalogue and one evening of events."""

from datetime import UTC, datetime, timedelta

import pytest

from raconteur.represent.citations import MAX_CITED, citation
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.types import Event, History, Item

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def items() -> dict[str, Item]:
    return {
        "1": Item("1", "Harbour Lights", ("drama",)),
        "2": Item("2", "The Clockmaker", ("drama", "crime")),
        "3": Item("3", "Snow Foxes", ("family",)),
        "4": Item("4", "Night Ferry", ("crime",)),
    }


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
    named = [*map(mention, "1234"), *(citation(number) for number in range(1, MAX_CITED + 1))]
    return train_tokenizer([" 2d play 43 tv", " 1d impression tv", " likes drama crime ."] * 20, named, 300)
