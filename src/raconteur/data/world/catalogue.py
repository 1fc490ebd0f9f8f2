"""The catalogue as arrays: what each title is, where it lies in taste space, and when it can be watched.

`titles` writes the words; the catalogue shift adds a wave of new titles behind the base ones and retires some of those.
"""

from dataclasses import dataclass, fields, replace
from datetime import timedelta

import numpy as np
import polars as pl

from raconteur import columns
from raconteur.config.schema import WorldConfig
from raconteur.data.world.space import ITEM_STEP, Basis, Bools, Doubles, Floats, Ints, on_grid, random_units, unit
from raconteur.data.world.streams import START, stream
from raconteur.data.world.titles import item_texts
from raconteur.data.world.vocabulary import GENRES, MOODS

OWN_NOISE = 0.35  # length of an item's own part, beside genres of length 1
MOOD_WEIGHT = 0.5
GENRE_WEIGHTS = (1.0, 0.6, 0.4)  # of the first, second and third genre
MOOD_WEIGHTS = (1.0, 0.6)
SERIES_SHARE = 0.35
SEQUEL_SHARE = 0.12
POPULARITY_EXPONENT = 0.6  # popularity ~ rank ** -this
NEW_SHARE = 0.10  # titles released during the first 90 days; the others are older
WAVE_SHARE = 0.15  # new titles of the catalogue shift, as a share of the catalogue
WAVE_LIFT = 1.0  # added to the log popularity of those titles
RETIRED_SHARE = 0.12  # old titles that the catalogue shift takes away
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Catalogue:
    """Arrays over items; days count from the world's first."""

    table: pl.DataFrame  # the contract's columns but `available`
    vectors: Floats  # [items, 16], unit length but for the rounding to the grid
    log_popularity: Floats  # [items], centred
    is_genre: Bools  # [items, 14]
    released_day: Ints
    retired_day: Ints
    minutes: Ints  # runtime of the film or of one episode
    episodes: Ints  # 0 for a film
    season_length: Ints  # episodes a season, 1 for a film

    @property
    def num_items(self) -> int:
        return len(self.minutes)

    def on_offer(self, day: int) -> Bools:
        """Which items can be watched on a day."""
        return (self.released_day <= day) & (day < self.retired_day)


@dataclass(frozen=True)
class Themes:
    """Genres [items, 14] and moods [items, 12] in order of weight, how many of them count, and an own direction."""

    genres: Ints
    num_genres: Ints
    moods: Ints
    num_moods: Ints
    own: Doubles


def make_catalogue(config: WorldConfig, basis: Basis) -> Catalogue:
    """The base catalogue, followed by the wave of new titles if the world's shift is `catalogue`."""
    taken: set[str] = set()
    base = _make_items(stream(config.seed, "items"), config.num_items, basis, taken, first=0)
    if config.shift != "catalogue":
        return base
    rng = stream(config.seed, "wave")
    wave = _make_items(rng, max(1, round(WAVE_SHARE * config.num_items)), basis, taken, first=config.num_items)
    return _join(_retire(rng, base, config.num_days), _release(rng, wave, config.num_days))


def _make_items(rng: np.random.Generator, count: int, basis: Basis, taken: set[str], *, first: int) -> Catalogue:
    """Items numbered from `first`; `taken` are the titles in use."""
    prequels = _draw_prequels(rng, count)
    themes = _draw_themes(rng, prequels)
    genre_weights = _leading_weights(themes.genres, themes.num_genres, GENRE_WEIGHTS)
    is_series = rng.random(count) < SERIES_SHARE
    season_length = np.where(is_series, rng.choice([6, 8, 10], count), 1)
    seasons = rng.integers(1, 4, count)
    minutes = np.where(is_series, rng.integers(22, 61, count), rng.integers(82, 151, count))
    released = _draw_releases(rng, prequels)
    genres = [[GENRES[genre] for genre in row[:num]] for row, num in zip(themes.genres, themes.num_genres, strict=True)]
    moods = [[MOODS[mood] for mood in row[:num]] for row, num in zip(themes.moods, themes.num_moods, strict=True)]
    kinds = ["series" if flag else "film" for flag in is_series]
    titles, descriptions = item_texts(rng, kinds, genres, moods, prequels=prequels.tolist(), taken=taken)
    facts = {
        "kind": kinds,
        "mood": [", ".join(names) for names in moods],
        "minutes": minutes.tolist(),
        "seasons": np.where(is_series, seasons, 0).tolist(),
    }
    table = pl.DataFrame(
        {
            columns.ITEM_ID: [f"t{index:05d}" for index in range(first, first + count)],
            columns.TITLE: titles,
            columns.DESCRIPTION: descriptions,
            columns.CATEGORIES: genres,
            columns.RELEASED: _dates(released),
            columns.ATTRIBUTES: [
                _attributes(dict(zip(facts, row, strict=True))) for row in zip(*facts.values(), strict=True)
            ],
        }
    )
    return Catalogue(
        table=table,
        vectors=_place(themes, genre_weights, basis),
        log_popularity=_draw_popularity(rng, count),
        is_genre=genre_weights > 0,
        released_day=released,
        retired_day=np.full(count, NEVER),
        minutes=minutes,
        episodes=np.where(is_series, season_length * seasons, 0),
        season_length=season_length,
    )


def _draw_prequels(rng: np.random.Generator, count: int) -> Ints:
    """Index of an earlier item for each sequel, -1 for the others."""
    source = (rng.random(count) * np.arange(count)).astype(np.int64)
    is_sequel = (rng.random(count) < SEQUEL_SHARE) & (np.arange(count) > 0)
    return np.where(is_sequel, source, -1)


def _draw_themes(rng: np.random.Generator, prequels: Ints) -> Themes:
    """1-3 genres and 1-2 moods an item; a sequel has those of its prequel and lies near it."""
    count = len(prequels)
    themes = Themes(
        genres=np.argsort(rng.random((count, len(GENRES))), axis=1),
        num_genres=rng.choice([1, 2, 3], count, p=[0.4, 0.45, 0.15]),
        moods=np.argsort(rng.random((count, len(MOODS))), axis=1),
        num_moods=rng.integers(1, 3, count),
        own=random_units(rng, count),
    )
    for item in np.flatnonzero(prequels >= 0):  # in order, so that a third part follows the second
        source = prequels[item]
        for array in (themes.genres, themes.num_genres, themes.moods, themes.num_moods):
            array[item] = array[source]
        themes.own[item] = unit((themes.own[source] + 0.4 * themes.own[item])[None])[0]
    return themes


def _place(themes: Themes, genre_weights: Doubles, basis: Basis) -> Floats:
    """Vectors [items, 16] of unit length: genres, moods and the own part."""
    mood_weights = _leading_weights(themes.moods, themes.num_moods, MOOD_WEIGHTS)
    genres, moods = unit(genre_weights @ basis.genres), unit(mood_weights @ basis.moods)
    return on_grid(unit(genres + MOOD_WEIGHT * moods + OWN_NOISE * themes.own), ITEM_STEP)


def _leading_weights(order: Ints, num: Ints, weights: tuple[float, ...]) -> Doubles:
    """Row by row: `weights` at the first `num` entries of `order`, 0 elsewhere."""
    result = np.zeros(order.shape)
    for place, weight in enumerate(weights):
        rows = np.flatnonzero(num > place)
        result[rows, order[rows, place]] = weight
    return result


def _draw_popularity(rng: np.random.Generator, count: int) -> Floats:
    logs = -POPULARITY_EXPONENT * np.log(rng.permutation(count) + 5.0)  # + 5 flattens the very head
    return (logs - logs.mean()).astype(np.float32)


def _draw_releases(rng: np.random.Generator, prequels: Ints) -> Ints:
    """Days before (negative) or after day 0; a sequel is never older than its prequel."""
    count = len(prequels)
    age = -(rng.exponential(1500.0, count) + 1).astype(np.int64)
    days = np.where(rng.random(count) < NEW_SHARE, rng.integers(1, 90, count), age)
    for item in np.flatnonzero(prequels >= 0):
        days[item] = max(days[item], days[prequels[item]])
    days[0] = min(days[0], -1)  # however small the catalogue, there is something to watch
    return days


def _dates(days: Ints) -> pl.Series:
    return pl.Series(columns.RELEASED, [START.date() + timedelta(days=day) for day in days.tolist()])


def _attributes(facts: dict[str, object]) -> list[dict[str, str]]:
    """The contract's map as Polars writes it; a film has no seasons."""
    return [{"key": key, "value": str(value)} for key, value in facts.items() if value]


def _retire(rng: np.random.Generator, base: Catalogue, day: int) -> Catalogue:
    gone = rng.random(base.num_items) < RETIRED_SHARE
    gone[0] = False  # something stays, however small the catalogue
    return replace(base, retired_day=np.where(gone, day, base.retired_day))


def _release(rng: np.random.Generator, wave: Catalogue, day: int) -> Catalogue:
    released = day + rng.integers(0, 3, wave.num_items)
    return replace(
        wave,
        table=wave.table.with_columns(_dates(released)),
        released_day=released,
        log_popularity=wave.log_popularity + np.float32(WAVE_LIFT),
    )


def _join(base: Catalogue, wave: Catalogue) -> Catalogue:
    names = [field.name for field in fields(Catalogue) if field.name != "table"]
    arrays = {name: np.concatenate([getattr(base, name), getattr(wave, name)]) for name in names}
    return Catalogue(table=pl.concat([base.table, wave.table]), **arrays)
