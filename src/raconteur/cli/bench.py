"""`raconteur bench`: the speeds that the project promises, measured here and now. Prints, never judges.

`raconteur bench serve` measures the running service alone, and at more length where it is asked to; `raconteur bench
grpo` a training step of the writer.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved
from raconteur.threads import wait_briefly

if TYPE_CHECKING:
    from raconteur.config.schema import Config

app = typer.Typer(invoke_without_command=True)

NumUsers = Annotated[int, typer.Option(help="Users asked for, at most; each once until all were.")]


@app.callback()
def bench(
    context: typer.Context,
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    data: Annotated[Path | None, typer.Option(help="MovieLens folder to read, check and split.")] = None,
    num_users: NumUsers = 10_000,
) -> None:
    """Measure the world's events a second, a real log's reading, routing decisions, and a running service's latency."""
    if context.invoked_subcommand is not None:
        if config or overrides or dry_run:
            raise typer.BadParameter(f"options of `{context.invoked_subcommand}` stand after its name")
        return
    resolved = resolve(config, overrides, dry_run=dry_run)
    world_speed(resolved)
    if data is not None:
        reading_time(resolved, data)
    routing_time(resolved)
    service_latency(resolved, num_users)


@app.command()
def serve(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Only an open loop of so many a second.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Only a closed loop of so many at a time.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of the open loop, or with --concurrency.")] = 20.0,
    soak: Annotated[
        float | None, typer.Option(min=0.1, metavar="MINUTES", help="Half of the measured throughput, for so long.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Default: where the config serves.")] = None,
    num_users: NumUsers = 10_000,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; the same as .json beside it.")] = None,
) -> None:
    """Measure a running service beside the floor under it. A key of the service is read from RACONTEUR_KEY."""
    if sum(choice is not None for choice in (rate, concurrency, soak)) > 1:
        raise typer.BadParameter("--rate, --concurrency and --soak exclude each other")
    from raconteur.cli.edges import start_or_exit

    path = write_resolved(resolve(config, overrides, dry_run=dry_run), name="bench.json")
    chosen = {
        **{"--rate": rate, "--concurrency": concurrency, "--soak": soak, "--seconds": seconds},
        **{"--address": address, "--num-users": num_users, "--out": out},
    }
    given = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    start_or_exit("serving.load.bench", "--config-json", str(path), *given)


@app.command()
def grpo(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    num_steps: Annotated[int, typer.Option(min=1, max=8, help="Over which the time of a step is the mean.")] = 8,
) -> None:
    """Measure a GRPO step of the writer at the config's sizes, on models that are hardly trained."""
    wait_briefly()
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.train.grpo_speed import time_grpo_step

    with TemporaryDirectory() as folder:
        step = time_grpo_step(resolved, Path(folder), num_steps)
    typer.echo(
        f"grpo: {step.seconds:.2f} s a step, {step.num_samples} samples of {step.num_tokens:.0f} tokens, "
        f"{step.num_parameters / 1e6:.2f} M parameters"
    )


def world_speed(config: "Config") -> None:
    from raconteur.data.world.bench import bench_world

    facts = bench_world(config.world)
    typer.echo(
        f"world: {facts['world_events']:,} events in {facts['world_seconds']:.2f} s, writing included: "
        f"{facts['world_events_per_s']:,.0f} a second"
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


def routing_time(config: "Config") -> None:
    """Processor time of the champion's router, on the test requests that lie beside it."""
    import numpy as np

    from raconteur.artifacts import Registry
    from raconteur.evaluate.routing import read_requests
    from raconteur.policy.router import Router
    from raconteur.policy.signals import RouteRequest

    models = Registry(config.workdir / "models")
    if models.champion() is None:
        typer.echo("routing: there is no champion yet; `raconteur train` makes one")
        return
    version = models.champion_folder()
    if not (version / "requests").exists():
        typer.echo(f"routing: {version.name} holds no requests to decide; it was released before versions kept them")
        return
    router = Router.read(version / "router")
    rows = read_requests(version / "requests").of(split="test", lists=config.route.lists)
    spent_ms = []
    for row, request_id in enumerate(rows.request_ids_B):
        request = RouteRequest(
            rows.student_BN[row], int(rows.num_events_B[row]), int(rows.num_cold_B[row]), str(request_id)
        )
        began = time.process_time()
        router.decide(request)
        spent_ms.append(1000 * (time.process_time() - began))
    median, tail = np.quantile(spent_ms, [0.5, 0.99]) if spent_ms else (0.0, 0.0)
    typer.echo(f"routing: {len(spent_ms):,} decisions, p50 {median:.3f} ms, p99 {tail:.3f} ms of processor time")


def service_latency(config: "Config", num_users: int) -> None:
    """Latency needs a running service; without one this says how to start it."""
    import httpx

    from raconteur.cli.edges import start_or_exit

    address = f"http://{config.serve.host}:{config.serve.port}"
    try:
        httpx.get(f"{address}/healthz", timeout=2.0).raise_for_status()
    except httpx.HTTPError:
        typer.echo(f"service: nothing answers at {address}; `raconteur serve --detach` starts it")
        return
    path = write_resolved(config, name="bench.json")
    start_or_exit("serving.load.bench", "--config-json", str(path), "--num-users", str(num_users))


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
