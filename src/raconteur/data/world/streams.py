"""Random streams: one per purpose and day, so that a longer or shifted world repeats a shorter one row for row.

No stream may be shared between days, and nothing drawn for a day may depend on how many days will follow.
"""

import zlib
from datetime import UTC, datetime, timedelta

import numpy as np

START = datetime(2025, 1, 6, tzinfo=UTC)  # day 0 of every world, a Monday
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000


def stream(seed: int, purpose: str, day: int = 0) -> np.random.Generator:
    """The generator of one purpose on one day; equal arguments give equal draws."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), day])


def day_start_us(day: int) -> int:
    """Midnight UTC of a day, in microseconds since 1970."""
    return int((START + timedelta(days=day)).timestamp()) * 1_000_000


def draw_weighted(rng: np.random.Generator, weights: np.ndarray, size: int) -> np.ndarray:
    """Indices [size] drawn with replacement in proportion to the weights; a weight of 0 is never drawn."""
    edges = np.cumsum(weights, dtype=np.float64)
    return np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
