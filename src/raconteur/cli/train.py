"""`raconteur train`: the whole pipeline on this machine; the same as `raconteur pipeline run`."""

from typing import Annotated

import typer

from raconteur.cli.edges import start_or_exit
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved

Cause = Annotated[str, typer.Option(help="Why this run is started; stands in the gate record.")]


def train(
    config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False, cause: Cause = "asked for"
) -> None:
    """Run the training pipeline here, end to end; finished steps of an earlier run are kept."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    start_or_exit("pipelines.run", "train", "--config-json", str(write_resolved(resolved)), "--cause", cause)
