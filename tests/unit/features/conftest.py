"""A log of two users and four items, small enough to work every feature out by hand.

Ann takes i1, tries i2 too briefly, sees i3, takes i2 and i4 in the same second, and watches a trailer. Bob takes i1.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from raconteur.features.rules import Rules

START = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    "event_type": pl.String,
    "value": pl.Float64,
}


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def prepare(rows: list[tuple], rules: Rules) -> pl.DataFrame:
    """What the prepare step adds to rows `user, item, time, type, value` that are in order within a user."""
    taken = pl.col("event_type").is_in(list(rules.targets))
    if rules.min_value is not None:
        taken = taken & (pl.col("value") >= rules.min_value).fill_null(False)
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("user_id", maintain_order=True)
    return frame.with_columns(
        session_id=pl.lit("s1"),
        context=pl.lit([{"key": "device", "value": "tv"}], CONTEXT),
        position=pl.int_range(pl.len()).over("user_id"),
        is_target=taken,
    )


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Rules(targets=("play",), min_value=10.0, num_recent_items=2, num_recent_events=3)


@pytest.fixture(scope="session")
def events(rules: Rules) -> pl.DataFrame:
    rows = [
        ("ann", "i1", hours(0), "play", 60.0),
        ("ann", "i2", hours(1), "play", 2.0),
        ("ann", "i3", hours(2), "impression", None),
        ("ann", "i2", hours(24), "play", 30.0),  # validation target
        ("ann", "i4", hours(24), "play", 40.0),  # test target, in the same second
        ("ann", "i1", hours(30), "trailer", 1.0),
        ("bob", "i1", hours(5), "play", 20.0),
    ]
    return prepare(rows, rules)


@pytest.fixture(scope="session")
def items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": ["i1", "i2", "i3", "i4"],
            "title": ["One", "Two", "Three", "Four"],
            "description": ["", None, None, None],
            "categories": [["drama"], ["comedy", "drama"], [], None],
            "released": [date(2020, 5, 1), None, None, None],
            "available": [True, True, False, True],
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )


@pytest.fixture(scope="session")
def split(events: pl.DataFrame) -> pl.DataFrame:
    targets = events.filter((pl.col("user_id") == "ann") & pl.col("position").is_in([3, 4]))
    return targets.select(
        "user_id",
        pl.Series("split", ["validation", "test"]),
        "item_id",
        "event_time",
        "position",
        discovery=pl.lit(True),
        num_targets=pl.Series([1, 2]),
    )
