"""The dirt of a real log, added to the intended plays of one day.

Each owner's play drags impressions, accidents, trailers, searches and replays behind it; bots come in bursts; some
rows arrive late or twice. Rates are per intended play and are multiplied by `config.noise`.
"""

import numpy as np
import numpy.typing as npt

from raconteur.data.world.catalogue import Catalogue
from raconteur.data.world.people import People
from raconteur.data.world.rows import (
    ACCIDENT,
    BOT,
    BOT_BURST,
    DUPLICATE,
    IMPRESSION,
    INTENDED,
    NOBODY,
    NUM_QUERIES,
    PLAY,
    REPLAYED,
    SEARCH,
    SEARCHED,
    SELF,
    SHOWN,
    TRAILED,
    TRAILER,
    Rows,
    new_rows,
)
from raconteur.data.world.space import Doubles
from raconteur.data.world.streams import DAY_US, HOUR_US, MINUTE_US, day_start_us, draw_weighted
from raconteur.data.world.viewing import Watched
from raconteur.data.world.vocabulary import OWN_DEVICES

IMPRESSIONS = 1.2
ACCIDENTS = 0.35
TRAILERS = 0.25
REPLAYS = 0.3
SEARCHES = 0.2
LATE_SHARE = 0.01
DUPLICATE_SHARE = 0.005
FRESHNESS = 3.0  # a title just released is shown this many times more, fading over two weeks
BURST_PROB = 0.06  # of a bot, a day
BURST_PLAYS = 55

Indices = npt.NDArray[np.intp]


def add_dirt(
    watched: Watched, people: People, catalogue: Catalogue, *, noise: float, day: int, rng: np.random.Generator
) -> Rows:
    """All rows of a day without lateness: the intended ones and what happens around them."""
    mine = np.flatnonzero(watched.rows["cause"] == INTENDED)
    shown = _shown_weights(catalogue, day)

    def around(rate: float) -> Indices:
        return np.repeat(mine, rng.poisson(rate * noise, len(mine)))

    return np.concatenate(
        [
            watched.rows,
            _impressions(watched, around(IMPRESSIONS), shown, rng),
            _accidents(watched, around(ACCIDENTS), shown, catalogue, rng),
            _trailers(watched, around(TRAILERS), shown, rng),
            _searches(watched, around(SEARCHES), shown, rng),
            _replays(watched, around(REPLAYS), rng),
            _bursts(people, catalogue, noise=noise, day=day, rng=rng),
        ]
    )


def deliver(rows: Rows, *, noise: float, day: int, rng: np.random.Generator) -> Rows:
    """Rows in the order in which they reach the log: a few hours late, a few twice.

    Everything of a day arrives before anything of the next day, so that longer worlds begin with shorter ones.
    """
    late = rng.random(len(rows)) < LATE_SHARE * noise
    delay = np.where(late, rng.uniform(1, 12, len(rows)) * HOUR_US, rng.uniform(0, 2, len(rows)) * 1e6)
    rows["arrival"] = rows["time"] + delay.astype(np.int64)
    again = rows[rng.random(len(rows)) < DUPLICATE_SHARE * noise]
    again["arrival"] += rng.integers(1_000_000, 60_000_000, len(again))
    again["actor"], again["cause"] = NOBODY, DUPLICATE
    rows = np.concatenate([rows, again])
    return rows[np.argsort(rows["arrival"], kind="stable")]


def _shown_weights(catalogue: Catalogue, day: int) -> Doubles:
    """How often the service pushes each item: by popularity and freshness, whatever the user likes."""
    age = np.maximum(day - catalogue.released_day, 0)
    return np.exp(catalogue.log_popularity) * (1 + FRESHNESS * np.exp(-age / 14)) * catalogue.on_offer(day)


def _beside(watched: Watched, anchors: Indices, rng: np.random.Generator, **fields: npt.ArrayLike) -> Rows:
    """Rows in the anchors' sessions, at some moment of the pause before them."""
    rows = watched.rows[anchors].copy()
    ahead = watched.gap[anchors] * rng.uniform(0.05, 0.95, len(anchors))
    rows["time"] -= (ahead * MINUTE_US).astype(np.int64)
    rows["value"], rows["episode"], rows["actor"] = np.nan, -1, NOBODY
    for name, values in fields.items():
        rows[name] = values
    return rows


def _impressions(watched: Watched, anchors: Indices, shown: Doubles, rng: np.random.Generator) -> Rows:
    items = draw_weighted(rng, shown, len(anchors))
    return _beside(watched, anchors, rng, item=items, kind=IMPRESSION, cause=SHOWN)


def _accidents(
    watched: Watched, anchors: Indices, shown: Doubles, catalogue: Catalogue, rng: np.random.Generator
) -> Rows:
    items = draw_weighted(rng, shown, len(anchors))
    episodes = np.where(catalogue.episodes[items] > 0, 0, -1)
    minutes = rng.uniform(0.2, 4.0, len(anchors))
    return _beside(watched, anchors, rng, item=items, kind=PLAY, value=minutes, episode=episodes, cause=ACCIDENT)


def _trailers(watched: Watched, anchors: Indices, shown: Doubles, rng: np.random.Generator) -> Rows:
    items, minutes = draw_weighted(rng, shown, len(anchors)), rng.uniform(0.5, 2.5, len(anchors))
    return _beside(watched, anchors, rng, item=items, kind=TRAILER, value=minutes, cause=TRAILED)


def _searches(watched: Watched, anchors: Indices, shown: Doubles, rng: np.random.Generator) -> Rows:
    """Half look for what is about to be played, half end on something else."""
    found = rng.random(len(anchors)) < 0.5
    items = np.where(found, watched.rows["item"][anchors], draw_weighted(rng, shown, len(anchors)))
    queries = rng.integers(0, NUM_QUERIES, len(anchors))
    actors = np.where(found, SELF, NOBODY)
    return _beside(watched, anchors, rng, item=items, kind=SEARCH, query=queries, actor=actors, cause=SEARCHED)


def _replays(watched: Watched, anchors: Indices, rng: np.random.Generator) -> Rows:
    """The same film or episode once more right after its end: a scene, a glance, or half of it."""
    rows = watched.rows[anchors].copy()
    rows["time"] += ((rows["value"] + rng.uniform(0.1, 0.9, len(anchors))) * MINUTE_US).astype(np.int64)
    rows["value"] *= 0.02 + 0.5 * rng.random(len(anchors)) ** 2
    rows["actor"], rows["cause"] = NOBODY, REPLAYED
    return rows


def _bursts(people: People, catalogue: Catalogue, *, noise: float, day: int, rng: np.random.Generator) -> Rows:
    """Bots play dozens of titles, drawn evenly, seconds apart."""
    first = people.joined == day
    active = people.is_bot & (people.joined <= day) & (first | (rng.random(people.num_people) < BURST_PROB))
    bots = np.flatnonzero(active)
    plays = rng.poisson(BURST_PLAYS * noise, len(bots))
    row = np.repeat(np.arange(len(bots)), plays)
    count = len(row)
    start = rng.uniform(0, DAY_US - HOUR_US, len(bots))
    order = np.arange(count) - np.repeat(np.cumsum(plays) - plays, plays)
    items = draw_weighted(rng, catalogue.on_offer(day).astype(float), count)
    return new_rows(
        count,
        user=people.user[bots][row],
        item=items,
        time=day_start_us(day) + (start[row] + order * 8e6 + rng.uniform(0, 6e6, count)).astype(np.int64),
        kind=PLAY,
        value=np.maximum(0.3, catalogue.minutes[items] * rng.random(count)),
        session=rng.integers(0, 2**47, len(bots))[row],
        device=OWN_DEVICES.index("web"),
        episode=np.where(catalogue.episodes[items] > 0, 0, -1),
        actor=BOT,
        cause=BOT_BURST,
    )
