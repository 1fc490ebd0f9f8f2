"""What a load run saw, in columns of numbers: half an hour of answers stays small."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

OK = 200
BETWEEN = "between"  # in the service's count, in no stage
OUTSIDE = "outside"  # not in the service's count: network, proxy, queues before it, and the client


def _numbers() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class Record:
    """Grows while the load runs. Latencies, routes and stages are those of the answers that were ranked lists.

    A cached answer tells the timings of the one that it repeats, so `stage_ms` holds only the answers that were not
    cached. For each of those its columns sum to what the client saw: the stages that the service told, BETWEEN and
    OUTSIDE.
    """

    latency_ms: "array[float]" = field(default_factory=_numbers)  # seen by the client
    stage_ms: "dict[str, array[float]]" = field(default_factory=dict)
    late_ms: "array[float]" = field(default_factory=_numbers)  # open loop: sent this much after the planned time
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)  # requests without a ranked list, by kind
    routes: Counter[str] = field(default_factory=Counter)
    num_sent: int = 0
    num_unsent: int = 0  # open loop: planned, but too many others were under way
    num_degraded: int = 0
    num_cached: int = 0
    num_bytes: int = 0  # of answers
    seconds: float = 0.0  # from the first request to the last answer
    cpu_s: float = 0.0  # processor time of the client meanwhile

    def add(self, latency_ms: float, status: int, body: bytes) -> None:
        """Counts an answer: a ranked list with its timings, or an error by its status."""
        self.statuses[status] += 1
        self.num_bytes += len(body)
        if status != OK:
            self.errors[f"status {status}"] += 1
            return
        try:
            self._add_told(latency_ms, orjson.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.errors["answer is no ranked list"] += 1

    def add_stages(self, stage_ms: Mapping[str, float]) -> None:
        for name, spent_ms in stage_ms.items():
            self.stage_ms.setdefault(name, _numbers()).append(spent_ms)

    def _add_told(self, latency_ms: float, told: Any) -> None:
        route, degraded, cached = told["route"], told["degraded"], told["cached"]
        server_ms, stage_ms = float(told["latency_ms"]), told.get("stage_ms", {})
        # Names become lines of a table; whatever else a server may send is not printed.
        if not all(name.isidentifier() for name in (route, *stage_ms)):
            raise ValueError(route)
        stages = {name: float(spent_ms) for name, spent_ms in stage_ms.items()}
        self.latency_ms.append(latency_ms)
        self.routes[route] += 1
        self.num_degraded += bool(degraded)
        self.num_cached += bool(cached)
        if not cached:
            outside = {BETWEEN: server_ms - sum(stages.values()), OUTSIDE: latency_ms - server_ms}
            self.add_stages({**stages, **outside})
