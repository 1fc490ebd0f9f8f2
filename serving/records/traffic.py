"""The answers of the last minutes, for a page that people look at; Prometheus keeps its own, longer account."""

import time
from collections import Counter, deque
from collections.abc import Callable
from threading import Lock

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from serving.schema import Route

WINDOW_S = 300.0
MAX_ANSWERS = 20_000  # kept; of more within the window the newest count


class Traffic(BaseModel):
    """The recommendations of the last minutes, by this process."""

    model_config = ConfigDict(frozen=True)

    window_s: float
    num_answers: int
    routes: dict[Route, int]
    num_degraded: int
    p50_ms: float | None = Field(description="null: no answer in the window")
    p99_ms: float | None


class TrafficWindow:
    """Safe to share between threads.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: deque[tuple[float, Route, bool, float]] = deque(maxlen=MAX_ANSWERS)
        self._lock = Lock()

    def count(self, route: Route, *, degraded: bool, latency_ms: float) -> None:
        with self._lock:
            self._answers.append((self._clock(), route, degraded, latency_ms))

    def summary(self) -> Traffic:
        with self._lock:
            oldest = self._clock() - WINDOW_S
            while self._answers and self._answers[0][0] < oldest:
                self._answers.popleft()
            answers = list(self._answers)
        latencies_ms = [latency_ms for *_, latency_ms in answers]
        p50_ms, p99_ms = np.percentile(latencies_ms, (50, 99)).tolist() if answers else (None, None)
        return Traffic(
            window_s=WINDOW_S,
            num_answers=len(answers),
            routes=dict(Counter(route for _, route, _, _ in answers)),
            num_degraded=sum(degraded for _, _, degraded, _ in answers),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        )
