"""Decides the requests of a prediction log again: the same decisions, and what another threshold would have done.

Reads the Parquet files that the service writes, of which it needs the columns of `LOGGED`. Rows that no router decided
(a cold user, a failed student, an answer from the cache), that another calibration decided, or that an older service
wrote are counted and left.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from raconteur.columns import USER_ID
from raconteur.errors import DataError
from raconteur.evaluate.feedback import TAKEN, next_takes
from raconteur.evaluate.metrics import BoolArray
from raconteur.evaluate.routing import NUM_COLD, NUM_EVENTS, REASONER, REQUEST_ID, STUDENT
from raconteur.policy.offpolicy import Logged, Values, off_policy_values
from raconteur.policy.router import Decision, Router
from raconteur.policy.signals import RouteRequest
from raconteur.types import FloatArray

SCORES, ROUTE, PROPENSITY, ROUTER_VERSION = "student_scores", "route", "propensity", "router_version"
LOGGED = pl.Schema(
    {
        REQUEST_ID: pl.String(),
        SCORES: pl.List(pl.Float32),
        NUM_EVENTS: pl.Int64(),
        NUM_COLD: pl.Int64(),
        "wants_query": pl.Boolean(),
        "wants_explanation": pl.Boolean(),
        "latency_left_ms": pl.Float64(),
        "load": pl.Float64(),
        "cost_left": pl.Float64(),
        ROUTER_VERSION: pl.String(),
        ROUTE: pl.String(),
        PROPENSITY: pl.Float64(),
    }
)
ANSWERED = pl.Schema(
    {REQUEST_ID: pl.String(), USER_ID: pl.String(), NUM_EVENTS: pl.Int64(), "items": pl.List(pl.String)}
)
# What the router chose, where the log tells it apart from who answered (the student stands in for a failed Reasoner).
CHOSEN = "decision"
CACHED = "cached"
CLOSE = 1e-6  # propensities are logged as float32


@dataclass(frozen=True)
class Replayed:
    """Logged requests, each decided again."""

    requests: tuple[RouteRequest, ...]
    logged: tuple[tuple[str, float], ...]  # ranker and propensity, as logged
    decisions: tuple[Decision, ...]
    skipped: Mapping[str, int]  # rows by why they were not decided again

    @property
    def different(self) -> tuple[str, ...]:
        """Ids of requests that were decided otherwise."""
        return tuple(
            request.request_id
            for request, (ranker, propensity), again in zip(self.requests, self.logged, self.decisions, strict=True)
            if ranker != again.ranker or abs(propensity - again.propensity) > CLOSE
        )


@dataclass(frozen=True)
class Other:
    """What another threshold does to the same requests."""

    asked_share: float  # share that asks the Reasoner
    logged_share: float  # share that did
    cost_ms: float  # mean cost of a request; exact but for load and budget, which are taken as they were
    logged_cost_ms: float
    estimate: Values  # the same cost from propensities alone: shows how far the log can be trusted for other rewards
    quality: "Quality | str"  # or why there is none


@dataclass(frozen=True)
class Quality:
    """Mean reward of the requests whose reward is known."""

    num_requests: int
    logged: float
    other: Values


def replay(folder: Path, router: Router) -> Replayed:
    """Decides every logged request of this router again.

    Raises:
        DataError: the folder holds no log, or a file cannot be read.
    """
    skipped: Counter[str] = Counter()
    rows = [row for path in _paths(folder) for row in _rows(path, router, skipped)]
    requests = tuple(_request(row) for row in rows)
    logged = tuple((row[CHOSEN], row[PROPENSITY]) for row in rows)
    return Replayed(requests, logged, tuple(router.decide(request) for request in requests), dict(skipped))


def read_hits(folder: Path, data: Path, *, key: bytes) -> dict[str, float]:
    """By request: 1 where the user's next take was among the items of the answer, else 0; only where it is known.

    Args:
        data: folder of a prepared data set that goes on where the answers were given.
        key: of the pseudonyms in the log.

    Raises:
        DataError: a folder cannot be read.
    """
    tables = [table for table in map(_read, _paths(folder)) if set(ANSWERED) <= set(table.columns)]
    answers = [table.select(ANSWERED.names()).cast(ANSWERED) for table in tables]
    known = next_takes(pl.concat([pl.DataFrame(schema=ANSWERED), *answers]), data, key=key)
    return dict(known.select(REQUEST_ID, pl.col("items").list.contains(pl.col(TAKEN)).cast(pl.Float64)).iter_rows())


def with_other_threshold(
    replayed: Replayed, router: Router, threshold: float, *, rewards: Mapping[str, float] | None = None, seed: int = 0
) -> Other:
    """What another threshold would have cost and earned, by deciding again and off-policy.

    Args:
        rewards: of requests, by id; those that are not named are left out of the quality.

    Raises:
        DataError: nothing was replayed, or the log explored nothing where the two thresholds differ.
    """
    if not replayed.requests:
        raise DataError("no logged request was decided by this router; give the folder of the router that served")
    other = router.with_threshold(threshold)
    asks_B = np.array([other.decide(request).ranker == REASONER for request in replayed.requests])
    asked_B = np.array([ranker == REASONER for ranker, _ in replayed.logged])
    student, reasoner = router.costs_ms.get(STUDENT, 0.0), router.costs_ms.get(REASONER, 0.0)
    cost_B = student + asked_B * reasoner
    propensity_B = np.array([propensity for _, propensity in replayed.logged])
    target_B = asks_B.astype(np.float64)
    return Other(
        asked_share=float(asks_B.mean()),
        logged_share=float(asked_B.mean()),
        cost_ms=float(student + asks_B.mean() * reasoner),
        logged_cost_ms=float(cost_B.mean()),
        estimate=off_policy_values(Logged(asked_B, propensity_B, cost_B), target_B, seed=seed),
        quality=_quality(replayed, asked_B, propensity_B, target_B, rewards or {}, seed=seed),
    )


def _quality(
    replayed: Replayed,
    asked_B: BoolArray,
    propensity_B: FloatArray,
    target_B: FloatArray,
    rewards: Mapping[str, float],
    *,
    seed: int,
) -> Quality | str:
    reward_B = np.array([rewards.get(request.request_id, np.nan) for request in replayed.requests])
    known_B = np.isfinite(reward_B)
    if not known_B.any():
        return "what the users took next is known of no request"
    logged = Logged(asked_B[known_B], propensity_B[known_B], reward_B[known_B])
    try:
        values = off_policy_values(logged, target_B[known_B], seed=seed)
    except DataError as error:
        return f"of the {known_B.sum()} requests with a known next take: {error}"
    return Quality(num_requests=int(known_B.sum()), logged=float(reward_B[known_B].mean()), other=values)


def _paths(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("[!.]*.parquet"))
    if not paths:
        raise DataError(f"{folder} holds no prediction log; serve some requests first")
    return paths


def _read(path: Path) -> pl.DataFrame:
    try:
        with path.open("rb") as opened:  # once: a newer file of this name may come meanwhile
            return pl.read_parquet(opened)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} is no prediction log: {error}") from error


def _rows(path: Path, router: Router, skipped: Counter[str]) -> list[dict[str, Any]]:
    table = _read(path)
    if not set(LOGGED) <= set(table.columns):
        skipped["written without the router's columns"] += table.height
        return []
    if CACHED in table.columns:  # an answer given again, under the decision of the request that it was made for
        skipped["answered from the cache"] += int(table[CACHED].sum())
        table = table.filter(~pl.col(CACHED).fill_null(False))
    chosen = table[CHOSEN] if CHOSEN in table.columns else table[ROUTE]
    table = table.select(LOGGED.names()).cast(LOGGED).with_columns(chosen.alias(CHOSEN))
    rankers = table.filter(pl.col(CHOSEN).is_in([STUDENT, REASONER]) & pl.col(SCORES).is_not_null())
    ours = rankers.filter(pl.col(ROUTER_VERSION) == router.version)
    skipped["decided by no router"] += table.height - rankers.height
    skipped["decided by another router"] += rankers.height - ours.height
    return ours.to_dicts()


def _request(row: Mapping[str, Any]) -> RouteRequest:
    scores = np.array([float("nan") if score is None else score for score in row[SCORES]], dtype=np.float32)
    return RouteRequest(
        scores=scores,
        num_events=row[NUM_EVENTS] or 0,
        num_cold=row[NUM_COLD] or 0,
        request_id=row[REQUEST_ID],
        wants_query=bool(row["wants_query"]),
        wants_explanation=bool(row["wants_explanation"]),
        latency_left_ms=row["latency_left_ms"],
        load=row["load"] or 0.0,
        cost_left=row["cost_left"],
    )
