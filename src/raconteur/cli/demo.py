"""`raconteur demo`: the whole loop, for real, in one command. Reads as the list of its stages."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.cli.edges import start, start_or_exit
from raconteur.cli.serve import stack
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved
from raconteur.errors import ServingError

if TYPE_CHECKING:
    from raconteur.config.schema import Config

DEMO = Path("configs/demo.toml")
MOVIELENS = Path("configs/movielens.toml")
NUM_REQUESTS = 200
K = 5


def demo(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    data: Annotated[Path | None, typer.Option(help="MovieLens folder; without it: the embedded world.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop everything at the end and exit with a status.")] = False,
) -> None:
    """Train, report, serve, ask, and look for drift; ends with the service up."""
    began = time.monotonic()
    resolved = resolve(config or [DEMO if data is None else MOVIELENS], _overrides(overrides, data), dry_run=dry_run)
    path = write_resolved(resolved)
    _say("1 of 4: train")
    start_or_exit("pipelines.run", "train", "--config-json", str(path), "--cause", "demo")
    _print_report(resolved)
    _say("2 of 4: serve")
    start_or_exit(*stack(path, "down"))  # of an earlier demo; nothing to stop is no error
    try:
        start_or_exit(*stack(path, "up"))
        _say("3 of 4: ask")
        user = _ask(resolved)
        _say("4 of 4: look for drift")
        _look_for_drift(resolved, path)
        _farewell(resolved, user, seconds=time.monotonic() - began, once=once)
    finally:
        if once:
            start(*stack(path, "down"))


def _overrides(overrides: list[str] | None, data: Path | None) -> list[str]:
    source = [] if data is None else [f"data.path={str(data.resolve())!r}", f"workdir='runs/{_name(data)}'"]
    return [*source, *(overrides or [])]


def _name(data: Path) -> str:
    return data.resolve().name or "log"


def _print_report(config: "Config") -> None:
    from raconteur.cli.evaluate import print_report

    print_report(config.workdir / "report")


def _ask(config: "Config") -> str:
    """Sends traffic, adds its route mix to the report, and returns one of the users.

    Raises:
        ServingError: an answer failed, or a part of the service is missing for all of them.
    """
    from raconteur.artifacts import write_json
    from raconteur.cli.reporting import routes_file, write_run_report
    from raconteur.cli.show import working
    from raconteur.cli.traffic import send, some_users

    users = some_users(config.workdir / "data", NUM_REQUESTS, seed=config.seed)
    with working(f"asking for {len(users)} users"):
        traffic = send(address(config), users, k=K)
    if len(traffic.degraded) == len(users):
        raise ServingError(f"every answer was degraded; the first says: {traffic.degraded[0]}")
    write_json(routes_file(config), traffic.routes)
    write_run_report(config)
    mix = ", ".join(f"{route} {count}" for route, count in sorted(traffic.routes.items()))
    typer.echo(
        f"{len(users)} answers: {mix}; {len(traffic.degraded)} degraded; "
        f"p50 {traffic.percentile(0.5):.1f} ms, p99 {traffic.percentile(0.99):.1f} ms"
    )
    return users[0]


def _look_for_drift(config: "Config", path: Path) -> None:
    """In the world, days with another taste pass first; a real log has no newer events to look at yet."""
    if config.data.layout != "world":
        typer.echo("a real log has no newer events yet; prepare them into incoming/, then `raconteur monitor check`")
        return
    from raconteur.cli.monitor import Shift, shifted, write_incoming

    write_incoming(shifted(config, Shift.TASTE))
    start_or_exit("monitoring.check", "--config-json", str(path))


def _farewell(config: "Config", user: str, *, seconds: float, once: bool) -> None:
    typer.echo(f"\none answer, for user {user}:")
    start_or_exit("serving.client", "--address", address(config), "--user", user, "-k", str(K))
    typer.echo(f"\nthe loop took {seconds / 60:.1f} min")
    typer.echo(f"report     {config.workdir / 'report' / 'index.html'}")
    if once:
        return
    typer.echo(f"console    {address(config)}/console")
    typer.echo(f"API page   {address(config)}/docs")
    typer.echo(f"dashboard  http://127.0.0.1:{config.serve.evidently_port}")
    typer.echo("retrain on what drifted: `raconteur monitor check --retrain`; stop all: `raconteur serve --down`")


def address(config: "Config") -> str:
    return f"http://{config.serve.host}:{config.serve.port}"


def _say(stage: str) -> None:
    typer.secho(f"\n{stage}", bold=True)
