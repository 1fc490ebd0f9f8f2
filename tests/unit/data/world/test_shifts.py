"""A shift or more quiet days only append: the days before stay row for row the same."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from raconteur.config.schema import WorldConfig
from raconteur.data.world import write_world
from raconteur.data.world.rows import INTENDED, OTHER_PERSON
from raconteur.data.world.shifts import extended, season_height
from raconteur.data.world.streams import START
from raconteur.data.world.vocabulary import GENRES, SEASONAL_GENRE
from raconteur.data.world.write import simulate

SHIFTS = ("catalogue", "taste", "logging", "season")


def _shifted(config: WorldConfig, shift: str) -> WorldConfig:
    return config.model_copy(update={"shift": shift})


@pytest.fixture(scope="module")
def longer(small_config: WorldConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """World folders by shift; `quiet` has as many days and no shift."""
    root = tmp_path_factory.mktemp("longer")
    configs = {shift: _shifted(small_config, shift) for shift in SHIFTS}
    configs["quiet"] = extended(small_config, small_config.shift_days)
    for name, config in configs.items():
        write_world(config, root / name)
    return {name: root / name for name in configs}


def _events(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "events.parquet")


@pytest.mark.parametrize("shift", [*SHIFTS, "quiet"])
def test_shift_keeps_the_days_before_row_for_row(small_world: Path, longer: dict[str, Path], shift: str) -> None:
    base, shifted = _events(small_world), _events(longer[shift])
    assert shifted.height > base.height
    assert_frame_equal(shifted.head(base.height), base)
    truth = pl.read_parquet(small_world / "truth" / "intents.parquet")
    assert_frame_equal(pl.read_parquet(longer[shift] / "truth" / "intents.parquet").head(base.height), truth)
    assert_frame_equal(pl.read_parquet(longer[shift] / "users.parquet"), pl.read_parquet(small_world / "users.parquet"))


@pytest.mark.parametrize("shift", [*SHIFTS, "quiet"])
def test_shift_appends_only_later_days(
    small_world: Path, longer: dict[str, Path], small_config: WorldConfig, shift: str
) -> None:
    appended = _events(longer[shift]).tail(-_events(small_world).height)
    days = (appended["event_time"] - START).dt.total_days()
    assert days.min() == small_config.num_days
    assert days.max() == small_config.num_days + small_config.shift_days - 1


def test_catalogue_shift_adds_watched_titles_and_retires_old_ones(small_world: Path, longer: dict[str, Path]) -> None:
    before, after = (pl.read_parquet(folder / "items.parquet") for folder in (small_world, longer["catalogue"]))
    assert after.height == before.height + round(0.15 * before.height)
    assert after["title"].is_unique().all()
    assert_frame_equal(after.head(before.height).drop("available"), before.drop("available"))
    retired = after.filter(~pl.col("available"))["item_id"]
    assert 0.03 < retired.len() / before.height < 0.25
    appended = _events(longer["catalogue"]).tail(-_events(small_world).height)
    new = after["item_id"].tail(after.height - before.height)
    assert appended["item_id"].is_in(new.implode()).mean() > 0.15  # more than their share of the catalogue
    assert not appended["item_id"].is_in(retired.implode()).any()


def test_taste_shift_turns_most_people_and_quiet_days_turn_nobody(small_config: WorldConfig) -> None:
    def turned(config: WorldConfig) -> float:
        before, after = simulate(config).tastes[small_config.num_days - 1 :][:2].astype(np.float32)
        return float(((before * after).sum(axis=1) < 0.8).mean())

    assert turned(_shifted(small_config, "taste")) > 0.4
    assert turned(extended(small_config, small_config.shift_days)) < 0.05


def test_logging_fault_leaves_the_intents_and_breaks_their_record(small_config: WorldConfig) -> None:
    faulty = simulate(_shifted(small_config, "logging")).rows
    quiet = simulate(extended(small_config, small_config.shift_days)).rows
    wanted = (INTENDED, OTHER_PERSON)
    faulty_plays, quiet_plays = (rows[np.isin(rows["cause"], wanted)] for rows in (faulty, quiet))
    for name in ("user", "item", "time"):
        np.testing.assert_array_equal(faulty_plays[name], quiet_plays[name])
    factors = np.round(faulty_plays["value"] / quiet_plays["value"], 6)
    assert set(factors) == {1.0, 60.0}
    assert (faulty_plays["device"] == -1).any()
    assert not (quiet_plays["device"] == -1).any()


def test_logging_fault_doubles_impressions(longer: dict[str, Path], small_world: Path) -> None:
    start = _events(small_world).height
    faulty, quiet = (_events(longer[name]).tail(-start) for name in ("logging", "quiet"))
    seen = pl.col("event_type") == "impression"
    assert faulty.filter(seen).height == 2 * quiet.filter(seen).height
    assert faulty.filter(~seen).height == quiet.filter(~seen).height


def test_season_rises_and_comes_back(small_config: WorldConfig) -> None:
    config = _shifted(small_config, "season")
    heights = [
        season_height(config, day) for day in range(config.num_days - 1, config.num_days + config.shift_days + 1)
    ]
    assert heights[0] == heights[-1] == 0
    assert max(heights) > 0.95
    np.testing.assert_allclose(heights, heights[::-1], atol=1e-12)


def test_season_lifts_one_genre(small_config: WorldConfig) -> None:
    def share(config: WorldConfig) -> float:
        world = simulate(config)
        late = world.rows[world.rows["time"] >= (START.timestamp() + small_config.num_days * 86400) * 1e6]
        chosen = late["item"][late["cause"] == INTENDED]
        return float(world.catalogue.is_genre[chosen, GENRES.index(SEASONAL_GENRE)].mean())

    assert share(_shifted(small_config, "season")) > 1.15 * share(extended(small_config, small_config.shift_days))
