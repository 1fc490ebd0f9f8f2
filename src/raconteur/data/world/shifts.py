"""What happens on a day: its activity, the appeal of each item, and the shift that the config asks for.

A shift begins at day `num_days` and touches nothing before it:
catalogue: a wave of new, well-liked titles; some old ones leave (see `catalogue`).
taste: most people turn to a few genres that they did not choose before.
logging: television minutes arrive as seconds, phones stop sending their device, impressions are sent twice.
season: more activity and one genre in fashion, up and back down again; nothing that a new model would help with.
"""

import numpy as np

from raconteur.config.schema import WorldConfig
from raconteur.data.world.catalogue import Catalogue
from raconteur.data.world.people import FIRST_INTENTS, draw_tastes
from raconteur.data.world.rows import FAULT, IMPRESSION, NOBODY, Rows
from raconteur.data.world.space import Basis, Bools, Doubles, Floats
from raconteur.data.world.streams import stream
from raconteur.data.world.vocabulary import GENRES, OWN_DEVICES, SEASONAL_GENRE

WEEKEND, WEEKDAY = 1.35, 0.86  # activity; averages 1 over a week
POPULARITY_WEIGHT = 1.2  # gamma: utility per unit of log popularity
SEASON_ACTIVITY = 0.5  # extra activity at the height of the season
SEASON_APPEAL = 1.5  # extra utility of the seasonal genre at its height
TURNED_SHARE = 0.7  # people whose taste the taste shift replaces
TREND_GENRES = ("Western", "Documentary", "Horror")
TREND_ODDS = 12.0  # of a trend genre, beside 1 of any other


def total_days(config: WorldConfig) -> int:
    return config.num_days + (0 if config.shift == "none" else config.shift_days)


def extended(config: WorldConfig, days: int) -> WorldConfig:
    """The same world, longer by some quiet days: its first `num_days` are the same row for row.

    `mean_intents` counts over the whole period, so it grows with it.
    """
    stretch = (config.num_days + days) / config.num_days
    mean_intents = FIRST_INTENTS + (config.mean_intents - FIRST_INTENTS) * stretch
    return config.model_copy(update={"shift": "none", "num_days": config.num_days + days, "mean_intents": mean_intents})


def season_height(config: WorldConfig, day: int) -> float:
    """0 outside the season, 1 at its height."""
    into = (day - config.num_days + 0.5) / config.shift_days
    return float(np.sin(np.pi * into) ** 2) if config.shift == "season" and 0 < into < 1 else 0.0


def activity(config: WorldConfig, day: int) -> float:
    """Factor on everybody's number of plays."""
    weekly = WEEKEND if day % 7 >= 5 else WEEKDAY
    return weekly * (1 + SEASON_ACTIVITY * season_height(config, day))


def appeal(config: WorldConfig, catalogue: Catalogue, day: int) -> Floats:
    """Utility [items] that an item has for everybody; minus infinity while it is not on offer."""
    seasonal = catalogue.is_genre[:, GENRES.index(SEASONAL_GENRE)]
    level = POPULARITY_WEIGHT * catalogue.log_popularity + SEASON_APPEAL * season_height(config, day) * seasonal
    return np.where(catalogue.on_offer(day), level, -np.inf).astype(np.float32)


def num_listed(config: WorldConfig, catalogue: Catalogue, day: int) -> int:
    """Items that exist on a day: the wave's titles come last and do not exist before the shift.

    Leaving them out, not only at odds 0, makes the days before the same to the last bit.
    """
    return config.num_items if day < config.num_days else catalogue.num_items


def turn_tastes(config: WorldConfig, core: Doubles, basis: Basis, day: int) -> Doubles:
    """Core tastes [persons, 16] after the day's taste shift, if it has one."""
    if config.shift != "taste" or day != config.num_days:
        return core
    rng = stream(config.seed, "turn")
    odds = np.array([TREND_ODDS if genre in TREND_GENRES else 1.0 for genre in GENRES])
    turning: Bools = rng.random(len(core)) < TURNED_SHARE
    return np.where(turning[:, None], draw_tastes(rng, len(core), basis, odds), core)


def break_logging(config: WorldConfig, rows: Rows, day: int) -> Rows:
    """The day's rows as a faulty client release would log them."""
    if config.shift != "logging" or day < config.num_days:
        return rows
    rows = rows.copy()
    rows["value"][rows["device"] == OWN_DEVICES.index("tv")] *= 60
    rows["device"][rows["device"] == OWN_DEVICES.index("phone")] = -1
    again = rows[rows["kind"] == IMPRESSION]
    again["time"] += 1_000_000  # a second send, so no exact duplicate
    again["arrival"] += 1_000_000
    again["actor"], again["cause"] = NOBODY, FAULT
    return np.concatenate([rows, again])
