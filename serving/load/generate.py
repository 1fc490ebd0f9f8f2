"""Load on a running service: closed loop (so many at a time) and open loop (arrivals at a rate, whatever comes back).

A closed loop asks again only when it was answered: where the service stalls it stops asking, and the stall counts once
per worker. An open loop plans each request beforehand (a Poisson process, as many independent users make it) and counts
latency from the planned time, so that a stall shows in every request that it held up, also in those that were not yet
sent. Python's event loop wakes on whole milliseconds, so the open loop's latencies hold up to 1 ms of the client's own.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from serving.load.connection import Client, NoAnswerError
from serving.load.record import Record

MAX_IN_FLIGHT = 512

Tick = Callable[[float], None]  # told the share of the run that is done


def arrivals(rate: float, seconds: float, *, seed: int) -> list[float]:
    """Times from 0 to `seconds` at which requests arrive: a Poisson process of `rate` a second."""
    draw, times, now = random.Random(seed), [], 0.0  # noqa: S311  # no secret
    while (now := now + draw.expovariate(rate)) < seconds:
        times.append(now)
    return times


def take(bodies: Iterator[bytes], count: int, *, tick: Tick) -> Iterator[bytes]:
    """The next `count` bodies."""
    for number in range(count):
        tick(number / count)
        yield next(bodies)


def during(bodies: Iterator[bytes], seconds: float, *, tick: Tick) -> Iterator[bytes]:
    """Bodies for as long as `seconds`, counted from the first."""
    began = time.perf_counter()
    while (spent_s := time.perf_counter() - began) < seconds:
        tick(spent_s / seconds)
        yield next(bodies)


async def closed_loop(client: Client, bodies: Iterable[bytes], *, concurrency: int) -> Record:
    """Sends all bodies, each worker its next one when it was answered."""
    record, turns = Record(), iter(bodies)

    async def work() -> None:
        for body in turns:
            await _ask(client, body, record, since=time.perf_counter())

    with _timed(record):
        await asyncio.gather(*(work() for _ in range(concurrency)))
    return record


async def open_loop(
    client: Client,
    bodies: Iterator[bytes],
    planned_s: Iterable[float],
    *,
    tick: Tick,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Record:
    """Sends a body at each planned time and waits for no answer before the next.

    Args:
        planned_s: from `arrivals`, counted from now.
        max_in_flight: a request that would be one more is counted as unsent and not sent later.
    """
    record, under_way = Record(), 0
    times = list(planned_s)

    async def ask(body: bytes, since: float) -> None:
        nonlocal under_way
        await _ask(client, body, record, since=since)
        under_way -= 1

    with _timed(record):
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, offset_s in enumerate(times):
                tick(number / len(times))
                planned = began + offset_s
                await asyncio.sleep(max(0.0, planned - time.perf_counter()))
                if under_way >= max_in_flight:
                    record.num_unsent += 1
                    continue
                record.late_ms.append((time.perf_counter() - planned) * 1000)
                under_way += 1
                group.create_task(ask(next(bodies), planned))
    return record


async def _ask(client: Client, body: bytes, record: Record, *, since: float) -> None:
    record.num_sent += 1
    try:
        status, answer = await client.post(body)
    except NoAnswerError as error:
        record.errors[error.kind] += 1
        return
    record.add((time.perf_counter() - since) * 1000, status, answer)


@contextmanager
def _timed(record: Record) -> Iterator[None]:
    began, cpu_s = time.perf_counter(), time.process_time()
    yield
    record.seconds = time.perf_counter() - began
    record.cpu_s = time.process_time() - cpu_s
