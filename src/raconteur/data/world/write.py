"""The simulation from first to last day, and the folder that it leaves.

    world = write_world(config.world, workdir / "world")

writes `events.parquet items.parquet users.parquet` (file order = arrival order) and `truth/`, which only evaluation
may read (see `oracle`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from raconteur import columns
from raconteur.artifacts import new_folder, write_json
from raconteur.config.schema import WorldConfig
from raconteur.data.world.catalogue import Catalogue, make_catalogue
from raconteur.data.world.dirt import add_dirt, deliver
from raconteur.data.world.people import (
    FIRST_INTENTS,
    JUMP_HAZARD,
    People,
    draw_tastes,
    drift_tastes,
    jump_tastes,
    make_people,
    user_ids,
    users_table,
)
from raconteur.data.world.rows import INTENDED, Rows, events_table, intents_table
from raconteur.data.world.shifts import activity, appeal, break_logging, num_listed, total_days, turn_tastes
from raconteur.data.world.space import Basis, Floats, make_basis
from raconteur.data.world.streams import stream
from raconteur.data.world.viewing import Viewers, draw_num_plays, watch
from raconteur.errors import ConfigError

TRUTH = "truth"


@dataclass(frozen=True)
class World:
    """All that happened: rows in arrival order, and what the oracle knows."""

    catalogue: Catalogue
    people: People
    rows: Rows
    tastes: np.ndarray  # float16 [days, users, 16], the owners'; zero for bots
    appeal: Floats  # [days, items], minus infinity where an item is not on offer


def write_world(config: WorldConfig, folder: Path) -> dict[str, float]:
    """Simulates the world and writes its tables; the same config gives the same rows.

    Returns:
        Counts: events, intended plays, users, items, days.

    Raises:
        ConfigError: a setting of the world is impossible.
    """
    _check(config)
    world = simulate(config)
    with new_folder(folder, kind="world", config=config.model_dump(mode="json")) as out:
        pq.write_table(events_table(world.rows, world.catalogue, config.num_users), out / "events.parquet")
        _items_table(world, last_day=total_days(config) - 1).write_parquet(out / "items.parquet")
        users_table(config, world.people).write_parquet(out / "users.parquet")
        _write_truth(world, out / TRUTH)
    return {
        "num_events": float(len(world.rows)),
        "num_intents": float((world.rows["cause"] == INTENDED).sum()),
        "num_users": float(config.num_users),
        "num_items": float(world.catalogue.num_items),
        "num_days": float(total_days(config)),
    }


def _check(config: WorldConfig) -> None:
    if config.noise < 0:
        raise ConfigError(f"world.noise = {config.noise} is negative; 0 is a log without dirt, 1 the usual mix")
    if config.mean_intents < FIRST_INTENTS:
        raise ConfigError(
            f"world.mean_intents = {config.mean_intents} is below the {FIRST_INTENTS} plays that every user starts with"
        )


def simulate(config: WorldConfig) -> World:
    """Runs all days, in memory."""
    basis = make_basis(config.seed)
    catalogue, people = make_catalogue(config, basis), make_people(config, basis)
    viewers = Viewers.fresh(people.num_people, catalogue.num_items)
    days, levels, kept = [], [], []
    for day, tastes in enumerate(_taste_days(config, people, basis)):
        level = appeal(config, catalogue, day)
        days.append(_simulate_day(config, catalogue, people, viewers, tastes=tastes, level=level, day=day))
        levels.append(level)
        kept.append(np.where(people.is_bot[:, None], 0, tastes)[: config.num_users].astype(np.float16))
    return World(catalogue, people, np.concatenate(days), np.stack(kept), np.stack(levels))


def _taste_days(config: WorldConfig, people: People, basis: Basis) -> Iterator[Floats]:
    """Everybody's taste [persons, 16], day by day."""
    core, walk = people.tastes, np.zeros_like(people.tastes)
    for day in range(total_days(config)):
        rng = stream(config.seed, "taste", day)
        jumping = rng.random(people.num_people) < JUMP_HAZARD
        core = jump_tastes(core, jumping, draw_tastes(rng, people.num_people, basis))
        core = turn_tastes(config, core, basis, day)
        tastes, walk = drift_tastes(core, walk, rng=rng)
        yield tastes


def _simulate_day(
    config: WorldConfig,
    catalogue: Catalogue,
    people: People,
    viewers: Viewers,
    *,
    tastes: Floats,
    level: Floats,
    day: int,
) -> Rows:
    """Rows of one day in arrival order."""
    plays = draw_num_plays(people, day, activity(config, day), stream(config.seed, "plays", day))
    watched = watch(
        viewers,
        people,
        catalogue,
        plays=plays,
        tastes=tastes,
        appeal=level[: num_listed(config, catalogue, day)],
        day=day,
        rng=stream(config.seed, "watch", day),
    )
    rng = stream(config.seed, "dirt", day)
    rows = add_dirt(watched, people, catalogue, noise=config.noise, day=day, rng=rng)
    return break_logging(config, deliver(rows, noise=config.noise, day=day, rng=rng), day)


def _items_table(world: World, *, last_day: int) -> pl.DataFrame:
    available = pl.Series(columns.AVAILABLE, world.catalogue.on_offer(last_day))
    return world.catalogue.table.with_columns(available).select(
        columns.ITEM_ID,
        columns.TITLE,
        columns.DESCRIPTION,
        columns.CATEGORIES,
        columns.RELEASED,
        columns.AVAILABLE,
        columns.ATTRIBUTES,
    )


def _write_truth(world: World, folder: Path) -> None:
    folder.mkdir()
    pq.write_table(intents_table(world.rows), folder / "intents.parquet")
    np.save(folder / "tastes.npy", world.tastes)
    np.save(folder / "items.npy", world.catalogue.vectors)
    np.save(folder / "appeal.npy", world.appeal)
    write_json(
        folder / "oracle.json",
        {
            "user_ids": user_ids(world.tastes.shape[1]),
            "item_ids": world.catalogue.table[columns.ITEM_ID].to_list(),
        },
    )
