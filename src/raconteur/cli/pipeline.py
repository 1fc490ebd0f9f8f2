"""`raconteur pipeline`: compile, run here, or submit to Kubeflow."""

from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.edges import start_or_exit
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve, write_resolved
from raconteur.cli.train import Cause, train

app = typer.Typer(no_args_is_help=True, help="The Kubeflow pipeline: compile, run here, submit.")
app.command("run")(train)


@app.command("compile")
def compile_pipeline(out: Annotated[Path, typer.Option(help="YAML file to write.")] = Path("train.yaml")) -> None:
    """Write the pipeline as Kubeflow's IR YAML."""
    start_or_exit("pipelines.run", "compile", "--out", str(out))


@app.command()
def submit(
    endpoint: Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines API.", envvar="RACONTEUR_KUBEFLOW")],
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    cause: Cause = "asked for",
) -> None:
    """Start a run on a Kubeflow cluster and print its id."""
    path = write_resolved(resolve(config, overrides, dry_run=dry_run), name="submitted.json")
    start_or_exit("pipelines.run", "submit", "--endpoint", endpoint, "--config-json", str(path), "--cause", cause)
