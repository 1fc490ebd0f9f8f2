"""The table of requests that routing is calibrated and judged on: its columns, its reader, what each model makes of it.

A folder holds `requests.parquet`, one row a request with the scores of two or three models on the same candidates,
`costs.json`, what a request costs each of them, and a manifest with their versions. The curves drawn from it stand in
`evaluate.curve`. Axis letters: B requests, N candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import TypeAdapter, ValidationError

from raconteur import columns as c
from raconteur.artifacts import verify
from raconteur.errors import DataError
from raconteur.evaluate.metrics import BoolArray, IntArray, hit_at, ndcg
from raconteur.types import FloatArray

REQUESTS, COSTS = "requests.parquet", "costs.json"
REQUEST_ID, LISTS = "request_id", "lists"
STUDENT, REASONER, MIDDLE = "student", "reasoner", "middle"
NUM_EVENTS, NUM_COLD = "num_events", "num_cold"
SPLITS, KINDS = ("validation", "test"), ("popularity", "served")
PLACES = 10  # quality is NDCG at this many places

SCHEMA = pl.Schema(
    {
        REQUEST_ID: pl.String(),
        c.USER_ID: pl.String(),
        c.SPLIT: pl.String(),  # SPLITS
        LISTS: pl.String(),  # KINDS: how the candidates were found
        c.CANDIDATES: pl.List(pl.String),
        c.TRUTH: pl.Int64(),  # index among the candidates; -1: not among them
        STUDENT: pl.List(pl.Float32),  # scores on the candidates; NaN: item unknown to the model
        REASONER: pl.List(pl.Float32),
        MIDDLE: pl.List(pl.Float32),  # null where no third model answered
        NUM_EVENTS: pl.Int64(),  # in the user's history
        NUM_COLD: pl.Int64(),  # candidates that nobody took in training
    }
)

TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request costs a model, measured."""

    ms: float  # processor time, median
    tokens: float = 0.0  # read and written
    p99_ms: float | None = None  # of the same; waiting and the way to a server come on top


@dataclass(frozen=True)
class Requests:
    """Rows of the table as arrays; score lists shorter than N are filled with NaN."""

    request_ids_B: TextArray
    user_ids_B: TextArray
    splits_B: TextArray
    lists_B: TextArray
    truth_B: IntArray
    num_candidates_B: IntArray
    num_events_B: IntArray
    num_cold_B: IntArray
    student_BN: FloatArray
    reasoner_BN: FloatArray
    middle_BN: FloatArray | None  # None where a row lacks it
    costs: Mapping[str, Cost] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.truth_B)

    def take(self, rows: IntArray | BoolArray) -> "Requests":
        """The requests of these rows."""
        arrays: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def of(self, *, split: str, lists: str) -> "Requests":
        return self.take((self.splits_B == split) & (self.lists_B == lists))

    def ndcg(self, scores_BN: FloatArray) -> FloatArray:
        """NDCG@10 [B] of a model's scores; 0 where the truth is not among the candidates."""
        found_B = ndcg(scores_BN, np.maximum(self.truth_B, 0), k=PLACES, removed_BN=self._filling())
        return np.where(self.truth_B >= 0, found_B, 0.0)

    def recall(self, scores_BN: FloatArray) -> FloatArray:
        """Recall@1 [B] of a model's scores; 0 where the truth is not among the candidates."""
        found_B = hit_at(scores_BN, np.maximum(self.truth_B, 0), k=1, removed_BN=self._filling())
        return np.where(self.truth_B >= 0, found_B, 0.0)

    def gain(self) -> FloatArray:
        """NDCG@10 of the Reasoner minus that of the student [B]: what asking it was worth."""
        return self.ndcg(self.reasoner_BN) - self.ndcg(self.student_BN)

    def _filling(self) -> BoolArray:
        return np.arange(self.student_BN.shape[1]) >= self.num_candidates_B[:, None]


def read_requests(folder: Path) -> Requests:
    """Reads and checks a folder of requests.

    Raises:
        ArtifactError: the folder is unfinished, or a file in it was changed.
        DataError: a file is malformed, or a row breaks the contract.
    """
    manifest = verify(folder)
    table = _table(folder / REQUESTS)
    _check(table, folder / REQUESTS)
    lengths_B = table[c.CANDIDATES].list.len().to_numpy().astype(np.int64)
    has_middle = table.height > 0 and table[MIDDLE].null_count() == 0
    return Requests(
        request_ids_B=_texts(table, REQUEST_ID),
        user_ids_B=_texts(table, c.USER_ID),
        splits_B=_texts(table, c.SPLIT),
        lists_B=_texts(table, LISTS),
        truth_B=table[c.TRUTH].to_numpy(),
        num_candidates_B=lengths_B,
        num_events_B=table[NUM_EVENTS].to_numpy(),
        num_cold_B=table[NUM_COLD].to_numpy(),
        student_BN=_scores(table[STUDENT], lengths_B),
        reasoner_BN=_scores(table[REASONER], lengths_B),
        middle_BN=_scores(table[MIDDLE], lengths_B) if has_middle else None,
        costs=_costs(folder / COSTS),
        versions=_versions(manifest, folder),
    )


def _table(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} holds no table of requests: {error}") from error
    missing = [name for name in SCHEMA if name not in table.columns]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; write the requests again")
    try:
        return table.select(SCHEMA.names()).cast(SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} has a column of another type: {error}; write the requests again") from error


def _check(table: pl.DataFrame, path: Path) -> None:
    """Refuses the first kind of broken row, and says how many there are and which is the first."""
    length = pl.col(c.CANDIDATES).list.len()
    rules = {
        "an empty value": pl.any_horizontal(pl.exclude(MIDDLE).is_null()),
        "no candidate": length == 0,
        "another number of scores than of candidates": pl.any_horizontal(
            (pl.col(name).list.len() != length).fill_null(False) for name in (STUDENT, REASONER, MIDDLE)
        ),
        "a truth outside its candidates": (pl.col(c.TRUTH) < -1) | (pl.col(c.TRUTH) >= length.cast(pl.Int64)),
        f"a split that is none of {', '.join(SPLITS)}": ~pl.col(c.SPLIT).is_in(SPLITS),
        f"lists that are none of {', '.join(KINDS)}": ~pl.col(LISTS).is_in(KINDS),
        "a negative count": (pl.col(NUM_EVENTS) < 0) | (pl.col(NUM_COLD) < 0),
        "a request_id that another row of its lists has": pl.struct(REQUEST_ID, LISTS).is_duplicated(),
    }
    for what, rule in rules.items():
        broken = table.with_row_index("row").filter(rule)
        if broken.height:
            raise DataError(
                f"{path}: {broken.height} rows with {what}, the first is row {broken['row'][0]}; write them again"
            )


def _scores(column: pl.Series, lengths_B: IntArray) -> FloatArray:
    """Score lists as a matrix, NaN where a list has ended or holds no number."""
    width = int(lengths_B.max(initial=0))
    scores_BN = np.full((len(column), width), np.nan, dtype=np.float32)
    if width:
        scores_BN[np.arange(width) < lengths_B[:, None]] = column.explode().fill_null(float("nan")).to_numpy()
    return scores_BN


def _texts(table: pl.DataFrame, name: str) -> TextArray:
    return np.array(table[name].to_list(), dtype=object)


def _costs(path: Path) -> dict[str, Cost]:
    try:
        costs = TypeAdapter(dict[str, Cost]).validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} holds no costs: {error}") from error
    for name in (STUDENT, REASONER):
        if name not in costs or not costs[name].ms > 0.0:
            raise DataError(f"{path} has no cost in ms above 0 for {name}; measure it again")
    return costs


def _versions(manifest: Mapping[str, Any], folder: Path) -> dict[str, str]:
    versions = manifest.get("versions")
    if not isinstance(versions, dict) or not {STUDENT, REASONER} <= versions.keys():
        raise DataError(f"the manifest of {folder} names no versions of {STUDENT} and {REASONER}; write it again")
    return {name: str(version) for name, version in versions.items()}
