"""`python -m serving.load.bench --config-json FILE`: what a recommendation costs here. Prints, never judges speed.

The default run: the client alone, warm-up, the floor under the service, 1 and 16 at a time, an open loop. `--rate`,
`--concurrency` and `--soak` each run one load instead. Exits with status 1 where the service is not there or a request
failed. A key of the service is read from the environment (RACONTEUR_KEY), so that it stands in no list of processes.
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from raconteur.cli.failures import run_program
from raconteur.cli.traffic import some_users
from raconteur.config.schema import Config
from raconteur.errors import DataError, RaconteurError, ServingError
from serving.load.about import about
from serving.load.caller import Caller
from serving.load.echo import echo_server
from serving.load.record import Record
from serving.load.report import Report, Summary, show, summarise, write
from serving.load.soak import memory_line, soak
from serving.load.watch import local_parts, sample
from serving.settings import read_config

KEY = "RACONTEUR_KEY"
NUM_USERS = 10_000
NUM_WARM = 40
NUM_REQUESTS = 1000  # of each closed loop and the floor
MANY = 16  # at a time
RATE, SECONDS = 100.0, 20.0  # of the open loop
WIDTH = 140  # of tables in a file or a pipe


def main() -> None:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what we started is stopped
    report = run(read_config(options.config_json), options)
    console = Console()
    show(report, console if console.is_terminal else Console(width=WIDTH))
    if options.out:
        write(report, options.out)
    if failed := sum(sum(load.errors.values()) for load in report.loads):
        raise ServingError(f"{failed:,} requests failed; see the lines with FAILED")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.load.bench", description="What a recommendation costs.")
    parser.add_argument("--config-json", type=Path, required=True, help="a resolved config")
    parser.add_argument("--address", help="default: where the config serves")
    parser.add_argument("--num-users", type=positive(int), default=NUM_USERS, help="at most, of the run's data")
    parser.add_argument(
        "--seconds", type=positive(float), default=SECONDS, help="of the open loop, or with --concurrency"
    )
    parser.add_argument("--out", type=Path, help="Markdown file; the same as .json beside it")
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--rate", type=positive(float), help="only an open loop of this many requests a second")
    load.add_argument("--concurrency", type=positive(int), help="only a closed loop of this many at a time")
    load.add_argument(
        "--soak", type=positive(float), metavar="MINUTES", help="half of the measured throughput, for this long"
    )
    return parser.parse_args(arguments)


def positive(number: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not 0 < (value := number(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return read


def run(config: Config, options: argparse.Namespace) -> Report:
    """
    Raises:
        ConfigError: the address or the key cannot be used.
        DataError: the run's data names no users.
        ServingError: the service does not answer.
    """
    own = f"http://{config.serve.host}:{config.serve.port}"
    address = (options.address or own).rstrip("/")
    folder = config.workdir / "serving"
    parts = local_parts(folder) if address == own else {}
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2, transient=True) as progress:
        caller = Caller(
            address, _users(config, options.num_users), key=os.environ.get(KEY), seed=config.seed, progress=progress
        )
        alone = client_alone(caller.users, config.seed, progress)
        warm_up(caller)
        remarks: list[str] = []
        if options.soak:
            loads = [*_soak(caller, folder if parts else None, options.soak, remarks)]
        elif options.rate:
            loads = [summarise(f"{options.rate:g} a second", caller.open(options.rate, seconds=options.seconds))]
        elif options.concurrency:
            record = caller.closed_for(options.concurrency, seconds=options.seconds)
            loads = [summarise(f"{options.concurrency} at a time", record)]
        else:
            loads = [*_default_run(config, caller, options.seconds, remarks, local=address == own)]
    memory = sample(local_parts(folder)) if parts else None
    if memory is None:
        remarks.append("memory: no local stack is known to run from this config")
    return Report(about(config, address, local=address == own), [alone, *loads], memory, remarks)


def _users(config: Config, num_users: int) -> list[str]:
    folder = config.workdir / "data"
    try:
        users = some_users(folder, num_users, seed=config.seed)
    except OSError as error:
        raise DataError(f"{folder} names no users to ask for ({error}); run `raconteur train` first") from None
    if not users:
        raise DataError(f"{folder} holds no user to ask for; run `raconteur train` again")
    return users


def client_alone(users: list[str], seed: int, progress: Progress) -> Summary:
    """The same requests to a server that does nothing: what the client adds to every latency below."""
    with echo_server() as address:
        caller = Caller(address, users, key=None, seed=seed, progress=progress)
        caller.closed(1, count=NUM_WARM)
        summary = summarise("client alone", caller.closed(1, count=NUM_REQUESTS))
        return replace(summary, routes={}, stages={})  # nobody ranked


def warm_up(caller: Caller) -> None:
    """
    Raises:
        ServingError: no request was answered.
    """
    warm = caller.closed(4, count=NUM_WARM)
    if warm.latency_ms:
        return
    said = ", ".join(f"{kind} {count}" for kind, count in warm.errors.most_common())
    step = f"set {KEY} to a key of the service" if warm.statuses.keys() & {401, 403} else "start it: `raconteur serve`"
    raise ServingError(f"{caller.address} gave no ranked list to {warm.num_sent} requests ({said}); {step}")


def _default_run(
    config: Config, caller: Caller, seconds: float, remarks: list[str], *, local: bool
) -> Iterator[Summary]:
    floors = _floors(config, caller, remarks) if local else []
    yield from floors
    one = summarise("1 at a time", caller.closed(1, count=NUM_REQUESTS))
    yield one
    yield summarise(f"{MANY} at a time", caller.closed(MANY, count=NUM_REQUESTS))
    yield summarise(f"{RATE:g} a second", caller.open(RATE, seconds=seconds))
    for floor in floors if one.latency_ms else ():
        ratios = (f"{key} {one.latency_ms[key] / floor.latency_ms[key]:.2f} x" for key in ("p50", "p99"))
        remarks.append(f"1 at a time against {floor.name}: {', '.join(ratios)}")


def _floors(config: Config, caller: Caller, remarks: list[str]) -> list[Summary]:
    """The floor is of this process, not of the service: where it cannot be measured, the rest still can."""
    from serving.load.floor import measure_floor, open_parts  # Feast takes seconds to import

    try:
        with caller.ticking("floor") as tick:
            floor = measure_floor(open_parts(config), caller.users, num_requests=NUM_REQUESTS, tick=tick)
    except (RaconteurError, OSError) as error:
        remarks.append(f"floor: not measured: {error}")
        return []
    return [summarise("floor", floor.ranking), summarise("floor + retrieval", floor.retrieving)]


def _soak(caller: Caller, stack: Path | None, minutes: float, remarks: list[str]) -> Iterator[Summary]:
    record: Record = caller.closed(MANY, count=NUM_REQUESTS)
    measured = summarise(f"{MANY} at a time", record)
    yield measured
    record, samples = soak(caller, stack, per_second=measured.per_second, minutes=minutes)
    yield summarise(f"soak, {measured.per_second / 2:.0f} a second", record)
    try:
        remarks.append(memory_line(samples))
    except DataError as error:
        remarks.append(f"memory over the soak: {error}")


if __name__ == "__main__":
    run_program(main)
