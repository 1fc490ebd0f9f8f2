"""Who watches: account owners, the second person of some households, and bots, with tastes that drift.

A person is a row; owners come first and have the row of their user, so `tastes[:num_users]` are the owners'. Owners'
tastes of every day are kept, because the oracle needs them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from raconteur import columns
from raconteur.config.schema import WorldConfig
from raconteur.data.world.space import Basis, Bools, Doubles, Floats, Ints, random_units, unit
from raconteur.data.world.streams import draw_weighted, stream
from raconteur.data.world.vocabulary import (
    GENRES,
    KIDS_GENRES,
    MOODS,
    OTHER_DEVICES,
    OWN_DEVICES,
)

FIRST_INTENTS = 3  # everybody starts with this many intended plays
JOIN_DAYS = 14  # all users join within this many days
ACTIVITY_SIGMA = 0.8  # of the log-normal number of intended plays
REALISED = 0.93  # share of the planned plays that happen: some users join late, some are bots, long sessions are cut
BOT_SHARE = 0.01
HOUSEHOLD_SHARE = 0.25
OTHER_PLAYS = 0.25  # plays of other persons per intended play of all owners, at noise 1
OWN_TASTE = 0.3  # length of a taste's own part, beside genres of length 1
MOOD_TASTE = 0.4
DRIFT = 0.02  # daily step of the random walk
DRIFT_MEMORY = 0.99
JUMP_HAZARD = 1 / 3 / 90  # a third of the users jump once in 90 days
JUMP_SIZE = 0.7  # share of the old taste that a jump replaces


@dataclass(frozen=True)
class People:
    """Arrays over persons; owners first."""

    user: Ints  # row of the account
    is_bot: Bools
    rate: Floats  # intended plays a day
    joined: Ints  # day
    first_intents: Ints  # intended plays of the first session, at least
    devices: Ints  # [persons, 4], indices of DEVICES, the favourite first
    tastes: Doubles  # [persons, 16] at day 0, unit length

    @property
    def num_people(self) -> int:
        return len(self.user)

    @property
    def num_users(self) -> int:
        return int(self.user.max()) + 1

    @property
    def is_owner(self) -> Bools:
        return np.arange(self.num_people) < self.num_users


def make_people(config: WorldConfig, basis: Basis) -> People:
    """Owners and the second persons of households; the latter watch as much as their share of the dirt says."""
    rng = stream(config.seed, "people")
    count = config.num_users
    activity = rng.lognormal(-(ACTIVITY_SIGMA**2) / 2, ACTIVITY_SIGMA, count)
    rate = activity * max(0.0, config.mean_intents - FIRST_INTENTS) / config.num_days / REALISED
    # Rounded, so that a world made longer by `extended` has the same rate to the last bit.
    rate = np.round(rate, 6).astype(np.float32)
    joined = np.floor(JOIN_DAYS * rng.random(count) ** 3)
    is_bot = rng.random(count) < BOT_SHARE
    own_devices = np.argsort(rng.random((count, len(OWN_DEVICES))), axis=1)
    tastes = draw_tastes(rng, count, basis)
    has_other = (rng.random(count) < HOUSEHOLD_SHARE) & ~is_bot
    other_device = rng.integers(0, len(OTHER_DEVICES), count)
    other_tastes = _other_tastes(rng, other_device, basis)
    others = np.flatnonzero(has_other)
    shared = np.repeat(len(OWN_DEVICES) + other_device[others, None], len(OWN_DEVICES), axis=1)
    return People(
        user=np.concatenate([np.arange(count), others]),
        is_bot=np.concatenate([is_bot, np.zeros(len(others), bool)]),
        rate=np.concatenate([rate, rate[others] * np.float32(config.noise * OTHER_PLAYS / HOUSEHOLD_SHARE)]),
        joined=np.concatenate([joined, joined[others]]),
        first_intents=np.where(np.arange(count + len(others)) < count, FIRST_INTENTS, 0),
        devices=np.concatenate([own_devices, shared]),
        tastes=np.concatenate([tastes, other_tastes[others]]),
    )


def draw_tastes(rng: np.random.Generator, count: int, basis: Basis, genre_weights: Doubles | None = None) -> Doubles:
    """Tastes [count, 16] of unit length: 2-4 genres, 1-2 moods and a part of their own.

    Args:
        genre_weights: how likely each genre is to be chosen [14]; None: all alike.
    """
    odds = np.ones(len(GENRES)) if genre_weights is None else genre_weights
    genres = _mix(rng, count, odds, low=2, high=4) @ basis.genres
    moods = _mix(rng, count, np.ones(len(MOODS)), low=1, high=2) @ basis.moods
    own = random_units(rng, count)
    return unit(unit(genres) + MOOD_TASTE * unit(moods) + OWN_TASTE * own)


def drift_tastes(core: Doubles, walk: Doubles, *, rng: np.random.Generator) -> tuple[Floats, Doubles]:
    """One day of the slow walk around each person's core taste.

    Returns:
        Tastes of the new day [persons, 16], rounded to what the oracle's file can hold, and the walk's new offset.
    """
    walk = DRIFT_MEMORY * walk + DRIFT / 4 * rng.standard_normal(core.shape)
    return unit(core + walk).astype(np.float16).astype(np.float32), walk


def jump_tastes(core: Doubles, jumping: Bools, fresh: Doubles) -> Doubles:
    """Cores after those who jump have moved most of the way to a fresh taste."""
    moved = unit((1 - JUMP_SIZE) * core + JUMP_SIZE * fresh)
    return np.where(jumping[:, None], moved, core)


def users_table(config: WorldConfig, people: People) -> pl.DataFrame:
    """The contract's users; nothing in it tells bots or households."""
    rng = stream(config.seed, "plans")
    plans = np.array(["basic", "standard", "premium"])[draw_weighted(rng, np.array([5, 3, 2]), config.num_users)]
    attributes = [[{"key": "plan", "value": str(plan)}] for plan in plans]
    return pl.DataFrame({columns.USER_ID: user_ids(config.num_users), columns.ATTRIBUTES: attributes})


def user_ids(count: int) -> list[str]:
    return [f"u{index:05d}" for index in range(count)]


def _other_tastes(rng: np.random.Generator, device: Ints, basis: Basis) -> Doubles:
    kids = np.array([1.0 if genre in KIDS_GENRES else 0.0 for genre in GENRES])
    anyone = draw_tastes(rng, len(device), basis)
    children = draw_tastes(rng, len(device), basis, kids)
    return np.where((device == OTHER_DEVICES.index("kids-tablet"))[:, None], children, anyone)


def _mix(rng: np.random.Generator, count: int, odds: Doubles, *, low: int, high: int) -> Doubles:
    """Random weights [count, options] on low..high distinct options, drawn by their odds (Gumbel top-k)."""
    with np.errstate(divide="ignore"):
        keys = np.log(odds) + rng.gumbel(size=(count, len(odds)))
    order = np.argsort(-keys, axis=1)
    num = rng.integers(low, high + 1, count)
    weights = np.zeros((count, len(odds)))
    for place in range(high):
        rows = np.flatnonzero(num > place)
        weights[rows, order[rows, place]] = (0.5 + rng.random(count)[rows]) * 0.8**place
    return weights
