"""`raconteur features`: build, apply and materialize by the program of the edge that knows Feast."""

import typer

from raconteur.cli.edges import start_or_exit
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved

app = typer.Typer(no_args_is_help=True, help="Features of users and items, through Feast.")


@app.command()
def build(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Compute point-in-time features of the prepared data set and publish them."""
    _act("build", config, overrides, dry_run)


@app.command()
def apply(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Register entities, views and services."""
    _act("apply", config, overrides, dry_run)


@app.command()
def materialize(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Write rows that are new in the offline store to the online store."""
    _act("materialize", config, overrides, dry_run)


def _act(action: str, config: ConfigFiles, overrides: Overrides, dry_run: bool) -> None:
    path = write_resolved(resolve(config, overrides, dry_run=dry_run))
    start_or_exit("components.features", action, "--config-json", str(path))
