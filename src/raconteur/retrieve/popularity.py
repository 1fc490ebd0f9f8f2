"""Popularity and recent popularity: the same scores for everyone, the floor under every other arm.

Called by training, evaluation and the cold path of serving. Axis letters: B histories, V items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from raconteur.errors import ConfigError, DataError
from raconteur.retrieve import files
from raconteur.retrieve.encode import IntArray, encode, index_items
from raconteur.types import FloatArray

SECONDS_PER_DAY = 86_400.0
Fade = Literal["half_life", "window"]


@dataclass(eq=False, slots=True)
class Popularity:
    """Scores an item by how often it was taken."""

    item_ids: tuple[str, ...]
    scores: FloatArray  # [V]
    name: str = field(default="popularity", init=False)

    kind: ClassVar[str] = "popularity"

    @classmethod
    def fit(cls, sequences: Sequence[Sequence[str]], item_ids: Sequence[str]) -> "Popularity":
        taken_E = _flat(encode(sequences, index_items(item_ids)))
        return cls(tuple(item_ids), np.bincount(taken_E, minlength=len(item_ids)).astype(np.float32))

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Counts [B, V], the same row for every history."""
        return np.tile(self.scores, (len(histories), 1))

    def save(self, folder: Path) -> None:
        files.write(folder, self.kind, item_ids=self.item_ids, arrays={"scores": self.scores})

    @classmethod
    def load(cls, folder: Path) -> "Popularity":
        saved = files.read(folder, cls.kind, arrays=["scores"])
        return cls(saved.item_ids, saved.arrays["scores"])


@dataclass(eq=False, slots=True)
class RecentPopularity:
    """Scores an item by how often it was taken of late."""

    item_ids: tuple[str, ...]
    scores: FloatArray  # [V]
    name: str = field(default="recent_popularity", init=False)

    kind: ClassVar[str] = "recent_popularity"

    @classmethod
    def fit(
        cls,
        sequences: Sequence[Sequence[str]],
        item_ids: Sequence[str],
        *,
        times: Sequence[Sequence[datetime]],
        days: float = 30.0,
        fade: Fade = "half_life",
    ) -> "RecentPopularity":
        """Counts takes, the newest event of the log being now.

        Args:
            times: one time per item of `sequences`.
            days: the half-life of a take, or the width of the window that counts.

        Raises:
            ConfigError: `days` is not positive.
            DataError: `times` and `sequences` differ in shape.
        """
        if not days > 0:
            raise ConfigError(f"recent popularity over {days} days is empty; give a positive number of days")
        index = index_items(item_ids)
        columns_E, seconds_E = _columns_and_seconds(sequences, times, index)
        age_days_E = (seconds_E.max(initial=-np.inf) - seconds_E) / SECONDS_PER_DAY
        weights_E = 0.5 ** (age_days_E / days) if fade == "half_life" else (age_days_E < days).astype(np.float64)
        scores_V = np.bincount(columns_E, weights=weights_E, minlength=len(index))
        return cls(tuple(item_ids), scores_V.astype(np.float32))

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Weighted counts [B, V], the same row for every history."""
        return np.tile(self.scores, (len(histories), 1))

    def save(self, folder: Path) -> None:
        files.write(folder, self.kind, item_ids=self.item_ids, arrays={"scores": self.scores})

    @classmethod
    def load(cls, folder: Path) -> "RecentPopularity":
        saved = files.read(folder, cls.kind, arrays=["scores"])
        return cls(saved.item_ids, saved.arrays["scores"])


def _flat(rows: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.empty(0, dtype=np.int64), *rows])


def _columns_and_seconds(
    sequences: Sequence[Sequence[str]], times: Sequence[Sequence[datetime]], index: dict[str, int]
) -> tuple[IntArray, FloatArray]:
    lengths = [len(sequence) for sequence in sequences]
    if lengths != [len(row) for row in times]:
        raise DataError("recent popularity needs one time per item of every sequence; lengths differ")
    known = [
        (index[item_id], time.timestamp())
        for sequence, row in zip(sequences, times, strict=True)
        for item_id, time in zip(sequence, row, strict=True)
        if item_id in index
    ]
    pairs_E2 = np.array(known, dtype=np.float64).reshape(-1, 2)
    return pairs_E2[:, 0].astype(np.int64), pairs_E2[:, 1]
