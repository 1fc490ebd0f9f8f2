"""`raconteur monitor`: look for drift, make some, go back a version, open the dashboard."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.cli.edges import start_or_exit
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved
from raconteur.errors import ConfigError

if TYPE_CHECKING:
    from raconteur.config.schema import Config

app = typer.Typer(no_args_is_help=True, help="Drift, retraining, rollback.")


class Shift(StrEnum):
    """What may happen to the embedded world (see `world.shift` in the config)."""

    CATALOGUE = "catalogue"
    TASTE = "taste"
    LOGGING = "logging"
    SEASON = "season"


@app.command()
def check(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Start the pipeline if the decision asks for it.")] = False,
) -> None:
    """Compare new events with those the champion learned from, write report and decision."""
    path = write_resolved(resolve(config, overrides, dry_run=dry_run), name="monitor.json")
    start_or_exit("monitoring.check", "--config-json", str(path), *(["--retrain"] if retrain else []))


@app.command()
def shift(
    kind: Annotated[Shift, typer.Argument(help="What happens to the world.")],
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Then check, and retrain if the decision asks.")] = False,
) -> None:
    """Let days of changed behaviour pass in the embedded world and prepare the longer log as `incoming/`."""
    changed = shifted(resolve(config, overrides), kind)
    if dry_run:
        typer.echo(changed.model_dump_json(indent=2))
        return
    incoming = write_incoming(changed)
    if retrain:
        check(config, overrides, retrain=True)
        return
    typer.echo(f"the log with the {kind} shift is {incoming}; see it with `raconteur monitor check --retrain`")


def write_incoming(changed: "Config") -> Path:
    """Writes the shifted world beside the old one (its past is the same, row for row) and prepares it."""
    from raconteur.cli.show import print_figures, working
    from raconteur.data.prepare import prepare
    from raconteur.data.world import write_world
    from raconteur.retrieve.ease import Ease

    assert changed.data.path is not None  # `shifted` sets it
    incoming = changed.workdir / "incoming"
    with working(f"living through a {changed.world.shift} shift"):
        write_world(changed.world, Path(changed.data.path))
        figures = prepare(changed, incoming, fit_retriever=Ease.fit)
    print_figures(f"data set {incoming}", figures)
    return incoming


@app.command()
def rollback(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Make the version that served before the champion again; servers swap to it by themselves."""
    from raconteur.artifacts import Registry

    registry = Registry(resolve(config, overrides, dry_run=dry_run).workdir / "models")
    pointer = registry.rollback()
    typer.echo(f"champion is {pointer['version']} again ({pointer['cause']})")


@app.command()
def ui(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Show the Evidently dashboard until Ctrl-C; `raconteur serve` starts it too."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    workspace = resolved.workdir / "monitoring" / "workspace"
    if not workspace.exists():
        raise ConfigError(f"{workspace} does not exist; `raconteur monitor check` writes it")
    place = ("--host", resolved.serve.host, "--port", str(resolved.serve.evidently_port))
    typer.echo(f"dashboard: http://{resolved.serve.host}:{resolved.serve.evidently_port}")
    start_or_exit("evidently.cli", "ui", "--workspace", str(workspace), *place)


def shifted(config: "Config", kind: Shift) -> "Config":
    """The config of the same world, changed, in a folder of its own: a retraining finds it by the data set's manifest.

    Raises:
        ConfigError: the config names a real log.
    """
    if config.data.layout != "world":
        raise ConfigError(
            f"data.layout = '{config.data.layout}' is a real log, which cannot be shifted; "
            "prepare its newer part with `raconteur data prepare --out <workdir>/incoming`"
        )
    data = config.data.model_copy(update={"path": str(config.workdir / f"world-{kind}")})
    world = config.world.model_copy(update={"shift": str(kind)})
    return config.model_copy(update={"data": data, "world": world})
