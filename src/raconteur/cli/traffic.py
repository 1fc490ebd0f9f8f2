"""Sends real users' requests to the running service and counts what came back: routes, degraded answers, latency."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raconteur import columns
from raconteur.errors import ServingError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the answers said, over all requests that were sent."""

    routes: dict[str, int]
    latency_ms: tuple[float, ...]
    degraded: tuple[str, ...] = ()  # reasons of the answers that a part of the service was missing for

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latency_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def some_users(data: Path, num_users: int, *, seed: int) -> list[str]:
    """A seeded sample of the prepared data set's users."""
    import polars as pl

    users = pl.scan_parquet(data / "events.parquet").select(columns.USER_ID).unique().collect()
    ids = users.get_column(columns.USER_ID).sort()
    return ids.sample(min(num_users, len(ids)), seed=seed).to_list()


def send(address: str, users: Sequence[str], *, k: int) -> Traffic:
    """Asks for each user once, one after another.

    Raises:
        ServingError: the service does not answer, or answers with an error.
    """
    import httpx

    routes: Counter[str] = Counter()
    latency_ms, degraded = [], []
    with httpx.Client(base_url=address, timeout=TIMEOUT_S, headers=_key()) as client:
        for user in users:
            began = time.perf_counter()
            try:
                answer = client.post("/v1/recommendations", json={"user_id": user, "k": k})
                answer.raise_for_status()
                told = answer.json()
                routes[str(told["route"])] += 1
                degraded += [str(told["reason"])] if told["degraded"] else []
            except (httpx.HTTPError, ValueError, KeyError) as error:
                raise ServingError(f"{address} gave no answer for user {user}: {error}") from None
            latency_ms.append(1000 * (time.perf_counter() - began))
    return Traffic(dict(routes), tuple(latency_ms), tuple(degraded))


def _key() -> dict[str, str]:
    """The token of RACONTEUR_KEY, where the service asks for one."""
    token = os.environ.get("RACONTEUR_KEY")
    return {"x-api-key": token} if token else {}
