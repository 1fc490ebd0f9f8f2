from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from raconteur.artifacts import verify
from raconteur.config.schema import WorldConfig
from raconteur.data.world import write_world
from raconteur.errors import ConfigError

PAIRS = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))


def test_world_tables_have_the_contract_columns(small_world: Path) -> None:
    assert pl.read_parquet_schema(small_world / "events.parquet") == {
        "user_id": pl.String,
        "item_id": pl.String,
        "event_time": pl.Datetime("us", "UTC"),
        "event_type": pl.String,
        "value": pl.Float64,
        "session_id": pl.String,
        "context": PAIRS,
    }
    assert pl.read_parquet_schema(small_world / "items.parquet") == {
        "item_id": pl.String,
        "title": pl.String,
        "description": pl.String,
        "categories": pl.List(pl.String),
        "released": pl.Date,
        "available": pl.Boolean,
        "attributes": PAIRS,
    }
    assert pl.read_parquet_schema(small_world / "users.parquet") == {"user_id": pl.String, "attributes": PAIRS}


def test_world_folder_is_a_verified_artefact_without_leftovers(small_world: Path, small_config: WorldConfig) -> None:
    manifest = verify(small_world)
    assert manifest["kind"] == "world"
    assert manifest["config"]["seed"] == small_config.seed
    assert [path.name for path in small_world.parent.iterdir()] == ["world"]


def test_world_keys_are_consistent(small_world: Path) -> None:
    events = pl.read_parquet(small_world / "events.parquet")
    items, users = pl.read_parquet(small_world / "items.parquet"), pl.read_parquet(small_world / "users.parquet")
    assert items["item_id"].is_unique().all()
    assert items["title"].is_unique().all()
    assert users["user_id"].is_unique().all()
    assert set(events["item_id"]) <= set(items["item_id"])
    assert set(events["user_id"]) == set(users["user_id"])
    assert (
        events.select("user_id", "item_id", "event_time", "event_type", "session_id").null_count().sum_horizontal()[0]
        == 0
    )
    assert events["value"].is_nan().sum() == 0


def test_world_same_config_gives_same_tables(small_world: Path, small_config: WorldConfig, tmp_path: Path) -> None:
    write_world(small_config, tmp_path / "again")
    for table in ("events", "items", "users", "truth/intents"):
        first = pl.read_parquet(small_world / f"{table}.parquet")
        assert_frame_equal(first, pl.read_parquet(tmp_path / "again" / f"{table}.parquet"))


def test_world_other_seed_gives_other_events(small_world: Path, small_config: WorldConfig, tmp_path: Path) -> None:
    write_world(small_config.model_copy(update={"seed": 8}), tmp_path / "other")
    first, other = (pl.read_parquet(folder / "events.parquet") for folder in (small_world, tmp_path / "other"))
    assert not first.head(100).equals(other.head(100))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("seed", range(5))
def test_world_three_users_one_item_is_written(tmp_path: Path, seed: int) -> None:
    config = WorldConfig(num_users=3, num_items=1, num_days=2, seed=seed, shift="catalogue", shift_days=1)
    counts = write_world(config, tmp_path / "tiny")
    assert counts["num_days"] == 3
    assert pl.read_parquet(tmp_path / "tiny" / "events.parquet").height == counts["num_events"]


@pytest.mark.parametrize("setting", [{"noise": -0.1}, {"mean_intents": 2.0}])
def test_world_impossible_setting_is_refused(setting: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="world\\."):
        write_world(WorldConfig(**setting), tmp_path / "world")
    assert not (tmp_path / "world").exists()
