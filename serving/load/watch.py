"""Memory of the whole local stack: every process of every part, those that Ray started and the supervisor included.

PSS is the honest sum: a page that three processes share counts a third in each. RSS counts it three times, and is what
most tools show. Reading it walks the page tables of each process: tens of milliseconds, so not more often than needed.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import psutil

from raconteur.errors import DataError
from serving.machine.processes import Started
from serving.machine.state import read_stack

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    num_processes: int
    pss_mib: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float  # since the watch began
    parts: Mapping[str, Usage]

    @property
    def pss_mib(self) -> float:
        return sum(usage.pss_mib for usage in self.parts.values())

    @property
    def rss_mib(self) -> float:
        return sum(usage.rss_mib for usage in self.parts.values())


def usage(started: Started) -> Usage:
    """Memory of a part's processes now; none if it has ended."""
    infos = []
    for process in started.family():
        try:
            infos.append(process.memory_full_info())
        except psutil.Error:  # ended meanwhile
            continue
    # Without PSS (another system than Linux) the unshared pages stand in.
    pss = sum(getattr(info, "pss", info.uss) for info in infos)
    return Usage(len(infos), pss / MIB, sum(info.rss for info in infos) / MIB)


def local_parts(folder: Path) -> dict[str, Started]:
    """What runs on this machine, by name; empty if nothing does.

    Args:
        folder: `<workdir>/serving`.

    Raises:
        ServingError: the note of what runs cannot be read.
    """
    stack = read_stack(folder)
    if stack is None:
        return {}
    return stack.running() | ({"supervisor": stack.supervisor} if stack.supervisor else {})


def sample(parts: Mapping[str, Started], *, at_s: float = 0.0) -> Sample:
    return Sample(at_s, {name: usage(started) for name, started in parts.items()})


async def watch(folder: Path, samples: list[Sample], *, every_s: float) -> None:
    """Appends a sample now and every `every_s` seconds until it is cancelled; beside the event loop, not in it.

    What runs is read anew each time, since the supervisor may have started a part again.
    """
    began = time.monotonic()
    while True:
        samples.append(await asyncio.to_thread(lambda: sample(local_parts(folder), at_s=time.monotonic() - began)))
        await asyncio.sleep(every_s)


def growth(samples: Sequence[Sample]) -> float:
    """Mean PSS of the last fifth of the samples against the first fifth: 0.02 is 2 % more.

    Raises:
        DataError: fewer than five samples, or nothing was running.
    """
    fifth = len(samples) // 5
    if fifth == 0 or not samples[0].pss_mib:
        raise DataError(f"{len(samples)} samples of memory; five of a running stack are needed to compare its fifths")
    first, last = (mean(one.pss_mib for one in part) for part in (samples[:fifth], samples[-fifth:]))
    return last / first - 1
