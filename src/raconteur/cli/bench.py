"""`raconteur bench`: the speeds that the project promises, measured here and now. Prints, never judges."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved

if TYPE_CHECKING:
    from raconteur.config.schema import Config


def bench(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    data: Annotated[Path | None, typer.Option(help="MovieLens folder to read, check and split.")] = None,
    num_users: Annotated[int, typer.Option(help="Users asked for, where the service runs.")] = 200,
) -> None:
    """Measure the world's events a second, the reading of a real log, and the latency of a running service."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    world_speed(resolved)
    if data is not None:
        reading_time(resolved, data)
    service_latency(resolved, num_users)


def world_speed(config: "Config") -> None:
    from raconteur.data.world import write_world

    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_world(config.world, Path(folder) / "world")
        seconds = time.perf_counter() - began
        num_events = _rows(Path(folder) / "world" / "events.parquet")
    typer.echo(
        f"world: {num_events:,} events in {seconds:.2f} s, writing included: {num_events / seconds:,.0f} a second"
    )


def reading_time(config: "Config", data: Path) -> None:
    from raconteur.data.prepare import prepare
    from raconteur.retrieve.ease import Ease

    source = config.data.model_copy(update={"layout": "movielens", "path": str(data)})
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        prepare(config.model_copy(update={"data": source}), Path(folder) / "data", fit_retriever=Ease.fit)
        seconds = time.perf_counter() - began
        num_events = _rows(Path(folder) / "data" / "events.parquet")
    typer.echo(f"{data.name}: {num_events:,} events read, checked and split in {seconds:.2f} s")


def service_latency(config: "Config", num_users: int) -> None:
    """Latency needs a running service; without one this says how to start it."""
    import httpx

    from raconteur.cli.edges import start_or_exit
    from raconteur.cli.traffic import some_users

    address = f"http://{config.serve.host}:{config.serve.port}"
    try:
        httpx.get(f"{address}/healthz", timeout=2.0).raise_for_status()
    except httpx.HTTPError:
        typer.echo(f"service: nothing answers at {address}; `raconteur serve --detach` starts it")
        return
    users = some_users(config.workdir / "data", num_users, seed=config.seed)
    path = write_resolved(config, name="bench.json")
    start_or_exit("serving.load.bench", "--address", address, "--users", ",".join(users), "--config-json", str(path))


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
