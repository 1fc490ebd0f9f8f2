"""One real Feast store of a tiny log, made once as the pipeline makes it: applied, online, with its training set.

Ann takes i1, then at hour 20 i2 and i3 in the same second: her validation and test targets. Bob takes i2 at hour 3 and
i1 at hour 48. The item snapshots lie 6 hours apart: the last before the targets is at hour 18.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.features.publish import publish_narratives, run_features
from raconteur.config.schema import Config

START = datetime(2026, 1, 1, tzinfo=UTC)
NARRATED = START + timedelta(hours=20)


def write_data(folder: Path) -> Path:
    """A prepared data set, as far as the features read it."""
    hours = [0, 20, 20, 3, 48]
    events = pl.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob", "bob"],
            "item_id": ["i1", "i2", "i3", "i2", "i1"],
            "event_time": pl.Series([START + timedelta(hours=hour) for hour in hours], dtype=pl.Datetime("us", "UTC")),
            "event_type": "play",
            "value": [60.0, 30.0, 50.0, 20.0, 10.0],
            "session_id": pl.Series([None] * 5, dtype=pl.String),
            "context": pl.Series([[]] * 5, dtype=pl.List(pl.Struct({"key": pl.String, "value": pl.String}))),
            "position": [0, 1, 2, 0, 1],
            "is_target": True,
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ["i1", "i2", "i3"],
            "title": ["One", "Two", "Three"],
            "categories": [["drama"], ["comedy"], ["drama", "war"]],
            "released": pl.Series([None] * 3, dtype=pl.Date),
            "available": [True, True, False],
        }
    )
    split = events[1:3].select(
        "user_id",
        pl.Series("split", ["validation", "test"]),
        "item_id",
        "event_time",
        "position",
        discovery=pl.lit(True),
        num_targets=pl.Series([1, 2]),
    )
    folder.mkdir(parents=True)
    for name, table in {"events": events, "items": items, "split": split}.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def write_narratives(folder: Path, text: str) -> Path:
    """What the narrate step writes; bob's history was empty to it."""
    folder.mkdir(parents=True)
    narratives = pl.DataFrame(
        {
            "user_id": ["ann", "bob"],
            "text": [text, ""],
            "as_of": pl.Series([NARRATED, None], dtype=pl.Datetime("us", "UTC")),
            "verbalizer_version": "v1",
            "catalogue_version": "c1",
            "num_tokens": [4, 0],
        }
    )
    narratives.write_parquet(folder / "narratives.parquet")
    return folder


@pytest.fixture(scope="session")
def config() -> Config:
    return Config.model_validate({"data": {"targets": ["play"], "min_value": 10.0}})


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("run") / "data")


@pytest.fixture(scope="session")
def built(config, data, tmp_path_factory) -> tuple[Path, Path, dict[str, float]]:
    """The store folder, the step's artefact and its metrics."""
    folder = tmp_path_factory.mktemp("feast")
    store, out = folder / "features", folder / "out"
    metrics = run_features(config, data, store, out)
    publish_narratives(write_narratives(folder / "narrated", "likes <item:i1> and <item:i2>"), store)
    return store, out, metrics


@pytest.fixture(scope="session")
def store(built) -> Path:
    return built[0]
