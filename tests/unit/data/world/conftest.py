from pathlib import Path

import polars as pl
import pytest

from raconteur.config.schema import WorldConfig
from raconteur.data.world import write_world

SMALL = WorldConfig(num_users=400, num_items=150, num_days=30, mean_intents=14.0, shift_days=10)


@pytest.fixture(scope="session")
def small_config() -> WorldConfig:
    return SMALL


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    write_world(SMALL, folder)
    return folder


@pytest.fixture(scope="session")
def told_events(small_world: Path) -> pl.DataFrame:
    """The log beside the truth about each row."""
    log = pl.read_parquet(small_world / "events.parquet")
    return pl.concat([log, pl.read_parquet(small_world / "truth" / "intents.parquet")], how="horizontal")
