"""`python -m serving.load.bench --address URL --users a,b,c [--config-json FILE]`: what a recommendation costs here.

Prints p50, p99 and throughput at concurrency 1 and 16 over HTTP, the median of each stage, and, with a config, the
floor under them: the student's session in this process plus one Feast read. Prints, never judges.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from raconteur.errors import RaconteurError, ServingError

K = 10
CONCURRENCY = (1, 16)
NUM_REQUESTS = 400  # at each concurrency
NUM_WARM = 20
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    latency_ms: Sequence[float]
    seconds: float  # of the whole run
    answers: Sequence[dict[str, Any]]

    def line(self, name: str) -> str:
        p50, p99 = (percentile(self.latency_ms, share) for share in (0.5, 0.99))
        return f"{name:<22} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   {len(self.latency_ms) / self.seconds:7.0f} a second"


def percentile(values: Sequence[float], share: float) -> float:
    """The value at a share of the sorted values, between neighbours by straight line."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


async def measure(address: str, users: Sequence[str], *, concurrency: int, num_requests: int) -> Measured:
    """Asks for the users in turn, `concurrency` requests at a time.

    Raises:
        ServingError: the service does not answer, or answers with an error.
    """
    turns = iter(list(itertools.islice(itertools.cycle(users), num_requests)))
    latency_ms: list[float] = []
    answers: list[dict[str, Any]] = []

    async def worker(client: httpx.AsyncClient) -> None:
        for user in turns:
            began = time.perf_counter()
            response = await client.post("/v1/recommendations", json={"user_id": user, "k": K})
            latency_ms.append((time.perf_counter() - began) * 1000)
            answers.append(response.raise_for_status().json())

    try:
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S) as client:
            began = time.perf_counter()
            await asyncio.gather(*(worker(client) for _ in range(concurrency)))
            return Measured(latency_ms, time.perf_counter() - began, answers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServingError(f"{address} gave no answer ({error}); start it with `raconteur serve`") from None


def floor(config_json: Path, users: Sequence[str], *, num_requests: int) -> Measured:
    """The least that an answer can cost: one Feast read and the student in this process, without any server."""
    from raconteur.artifacts import Registry
    from raconteur.reason.load import load_student
    from raconteur.retrieve.load import load_retriever
    from serving.path.features import OnlineFeatures
    from serving.settings import read_config

    config = read_config(config_json)
    champion = Registry(config.workdir / "models").champion_folder()
    student = load_student(champion / "student")
    items = load_retriever(champion / "retriever").item_ids[: config.serve.num_retrieved]
    features = OnlineFeatures(config.workdir / "features")
    latency_ms = []
    for user in itertools.islice(itertools.cycle(users), NUM_WARM + num_requests):
        began = time.perf_counter()
        state = features.read(user)
        student.score([state.narrative.text if state and state.narrative else ""], [items])
        latency_ms.append((time.perf_counter() - began) * 1000)
    timed = latency_ms[NUM_WARM:]
    return Measured(timed, sum(timed) / 1000, [])


def stages(answers: Sequence[dict[str, Any]]) -> str:
    """Median milliseconds of each stage, over the answers that went through it."""
    names = list(dict.fromkeys(name for answer in answers for name in answer["stage_ms"]))
    medians = {name: statistics.median(a["stage_ms"][name] for a in answers if name in a["stage_ms"]) for name in names}
    return ", ".join(f"{name} {spent_ms:.2f}" for name, spent_ms in medians.items())


def routes(answers: Sequence[dict[str, Any]]) -> str:
    taken = [answer["route"] for answer in answers]
    return ", ".join(f"{route} {taken.count(route) / len(taken):.0%}" for route in sorted(set(taken)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.load.bench", description="What a recommendation costs.")
    parser.add_argument("--address", default="http://127.0.0.1:8800")
    parser.add_argument("--users", required=True, help="user ids, separated by commas")
    parser.add_argument("--config-json", type=Path, help="resolved config; with it the floor is measured as well")
    parser.add_argument("--requests", type=int, default=NUM_REQUESTS, help="at each concurrency")
    options = parser.parse_args()
    users = [user for user in options.users.split(",") if user]
    try:
        _report(options.address, users, config_json=options.config_json, num_requests=options.requests)
    except (RaconteurError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _report(address: str, users: Sequence[str], *, config_json: Path | None, num_requests: int) -> None:
    asyncio.run(measure(address, users, concurrency=1, num_requests=NUM_WARM))
    for concurrency in CONCURRENCY:
        measured = asyncio.run(measure(address, users, concurrency=concurrency, num_requests=num_requests))
        print(measured.line(f"service, {concurrency} at a time"))
        print(f"  routes: {routes(measured.answers)}; stages, median ms: {stages(measured.answers)}")
    if config_json is not None:
        print(floor(config_json, users, num_requests=num_requests).line("floor, no server"))


if __name__ == "__main__":
    sys.exit(main())
