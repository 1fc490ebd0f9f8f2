"""What one request costs each of several models that take turns in one process.

Milliseconds of two runs do not compare on a machine whose speed changes, so the models answer the same requests in
turns. A turn is several requests long, as a server answers with one model again and again: who comes behind a large
model finds its own data gone from the caches, and that belongs to the first request of a turn alone.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np

from raconteur.evaluate.routing import Cost
from raconteur.hardware import torch_threads

TURN = 10  # requests

Call = Callable[[slice], object]  # answers these requests


def costs_in_turns(calls: Mapping[str, Call], num: int) -> dict[str, Cost]:
    """Processor time of one request at a time with one thread, median and p99 over `num` requests, milliseconds."""
    spent_ms: dict[str, list[float]] = {name: [] for name in calls}
    rng = np.random.default_rng(0)
    with torch_threads(1):  # processor time counts every thread, one that only looks for work as well
        for start in range(0, num, TURN):
            for name in rng.permutation(list(calls)).tolist():
                for row in range(start, min(start + TURN, num)):
                    began = time.process_time()
                    calls[name](slice(row, row + 1))
                    spent_ms[name].append(1000 * (time.process_time() - began))
    return {
        name: Cost(ms=float(np.median(spent)), p99_ms=float(np.quantile(spent, 0.99)))
        for name, spent in spent_ms.items()
    }
