"""Taste space: what genres and moods are as directions, shared by items and people.

The same world must come out whatever the number of BLAS threads, which changes the order of sums and so the last bits:
directions are made in float64, and what choices are computed from lies on coarse grids, so that its sums are exact.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raconteur.data.world.streams import stream
from raconteur.data.world.vocabulary import GENRES, MOODS

DIMS = 16
BASIS_STEP = 2.0**-16
ITEM_STEP = 2.0**-8
QUERY_STEP = 2.0**-6  # a product with an item is a multiple of 2 ** -14, and 16 of them stay below 2 ** 10: 24 bits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Basis:
    """Genres [14, 16] orthonormal, moods [12, 16] of unit length and mixtures of all directions."""

    genres: Doubles
    moods: Doubles


def make_basis(seed: int) -> Basis:
    rng = stream(seed, "basis")
    genres = np.linalg.qr(rng.normal(size=(DIMS, DIMS)))[0][: len(GENRES)]
    moods = random_units(rng, len(MOODS))
    return Basis(np.round(genres / BASIS_STEP) * BASIS_STEP, np.round(moods / BASIS_STEP) * BASIS_STEP)


def unit(vectors: npt.NDArray[np.floating]) -> Doubles:
    """Rows scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float64)


def random_units(rng: np.random.Generator, count: int) -> Doubles:
    """Even directions [count, 16]."""
    return unit(rng.normal(size=(count, DIMS)))


def on_grid(vectors: npt.NDArray[np.floating], step: float) -> Floats:
    """Values rounded to multiples of a power of two."""
    return (np.round(vectors / step) * step).astype(np.float32)
