"""`raconteur serve`: starts and stops the whole service; its supervisor keeps it running in between."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.edges import start, start_or_exit
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved


def serve(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service is ready.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Stop the service.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what runs and what was started again.")] = False,
) -> None:
    """Start recommender, student, Reasoner and dashboard; what ends is started again, Ctrl-C stops them all."""
    if down and status:
        raise typer.BadParameter("--down and --status exclude each other")
    path = write_resolved(resolve(config, overrides, dry_run=dry_run), name="serve.json")
    if down or status:
        start_or_exit(*stack(path, "down" if down else "status"))
        return
    start_or_exit(*stack(path, "up"))
    if not detach:
        hold(path)


def hold(path: Path) -> None:
    """Waits for Ctrl-C or SIGTERM, then stops the service."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    typer.echo("serving; Ctrl-C stops everything")
    ended.wait()
    raise typer.Exit(start(*stack(path, "down")))


def stack(path: Path, verb: str) -> tuple[str, ...]:
    return "serving.stack", "--config-json", str(path), verb
