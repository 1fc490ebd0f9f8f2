"""The table of arms: what `arms.parquet` holds, and how one arm's outcomes become its rows.

Written by the evaluate step, read by the report. Axis letters: B users, N candidates.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from raconteur.errors import DataError
from raconteur.evaluate.bootstrap import Interval, difference_interval, mean_interval, relative_interval
from raconteur.evaluate.metrics import BoolArray, IntArray, mrr, ndcg, recall_at_1
from raconteur.types import FloatArray

SCHEMA = pl.Schema(
    {
        "arm": pl.String,
        "slice": pl.String,
        "num_users": pl.Int64,
        "recall_at_1": pl.Float64,
        "recall_low": pl.Float64,
        "recall_high": pl.Float64,
        "ndcg": pl.Float64,
        "mrr": pl.Float64,
        "tokens_in": pl.Float64,  # mean a user; null where the arm reads no text
        "tokens_out": pl.Float64,  # mean a user, tokens that the Verbalizer wrote
        "ms_per_user": pl.Float64,  # compute time of one answer; null where it was not measured
    }
)


ORACLE = "oracle"  # the arm that knows the embedded world's true utilities: a bound, never the best arm


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer of an arm costs on average."""

    tokens_in: float | None = None
    tokens_out: float | None = None
    ms_per_user: float | None = None


NO_COST = Cost()


def arm_rows(
    arm: str,
    scores_BN: FloatArray,
    truth_B: IntArray,
    masks: Mapping[str, BoolArray],
    *,
    cost: Cost = NO_COST,
    num_resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """One row a slice (`choice.slice_masks`); a slice without users has no row."""
    recall_B, ndcg_B, mrr_B = recall_at_1(scores_BN, truth_B), ndcg(scores_BN, truth_B), mrr(scores_BN, truth_B)
    rows = []
    for name, mask_B in masks.items():
        if not mask_B.any():
            continue
        recall = mean_interval(recall_B[mask_B], num_resamples=num_resamples, seed=seed)
        quality = (recall.value, recall.low, recall.high, ndcg_B[mask_B].mean(), mrr_B[mask_B].mean())
        rows.append((arm, name, int(mask_B.sum()), *quality, cost.tokens_in, cost.tokens_out, cost.ms_per_user))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def difference_metrics(
    arm: str,
    base: str,
    outcomes: Mapping[str, FloatArray],
    masks: Mapping[str, BoolArray],
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Paired differences of two arms as flat metrics, one group a slice.

    Keys are `difference/<arm>/<base>/<slice>/<part>`, the parts being value, low, high (of the difference in
    Recall@1) and, where the base is above 0, relative, relative_low, relative_high; an infinite end is left out.

    Args:
        outcomes: Recall@1 per user [B] of at least the two arms, over the same users.
    """
    metrics: dict[str, float] = {}
    for name, mask_B in masks.items():
        if not mask_B.any():
            continue
        arm_U, base_U = outcomes[arm][mask_B], outcomes[base][mask_B]
        absolute = difference_interval(arm_U, base_U, num_resamples=num_resamples, seed=seed)
        key = f"difference/{arm}/{base}/{name}"
        metrics |= _parts(key, absolute, "")
        if base_U.mean() > 0:
            metrics |= _parts(
                key, relative_interval(arm_U, base_U, num_resamples=num_resamples, seed=seed), "relative_"
            )
    return metrics


def read_arms(path: Path) -> pl.DataFrame:
    """Reads `arms.parquet`.

    Raises:
        DataError: the file is missing, no Parquet, or lacks a column.
    """
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} holds no table of arms: {error}; run `raconteur evaluate` first") from error
    missing = [name for name in SCHEMA if name not in table.columns]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; run `raconteur evaluate` again")
    try:
        return table.select(SCHEMA.names()).cast(SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} has a column of another type: {error}; run `raconteur evaluate` again") from error


def _parts(key: str, interval: Interval, prefix: str) -> dict[str, float]:
    value_name = prefix.rstrip("_") or "value"
    parts = {value_name: interval.value, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
    return {f"{key}/{name}": number for name, number in parts.items() if math.isfinite(number)}  # JSON has no infinity
