"""Runs the pipeline `train` on this machine, compiles it or submits it to Kubeflow.

The program behind `raconteur train` and `raconteur pipeline`; monitoring starts it too, with a cause.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.fingerprints import code_fingerprint, source_fingerprint
from pipelines.local import run_locally
from pipelines.progress import RunProgress, minutes, seconds_before
from pipelines.publish import publish_folder, write_steps
from pipelines.remote import compile_to
from pipelines.remote import submit as submit_run
from pipelines.train import MOUNT, STEPS
from pipelines.train import train as train_pipeline
from raconteur.cli.failures import run_program
from raconteur.cli.reporting import write_run_report
from raconteur.cli.settings import read_resolved
from raconteur.config.schema import Config

ConfigJson = Annotated[Path, typer.Option("--config-json", help="The resolved config as JSON.")]
Cause = Annotated[str, typer.Option(help="Why this run is started; stands in the gate record.")]

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)


@app.command()
def train(config_json: ConfigJson, cause: Cause = "asked for") -> None:
    """Run every step on this machine; finished steps of an earlier run are kept."""
    config = read_resolved(config_json)
    console = Console(file=sys.stdout)  # bound now: while kfp runs, sys.stdout is the run's log
    folder = config.workdir / "pipeline"
    compile_to(train_pipeline, folder / "train.yaml")
    _drop_stale_cache(config, folder)
    with RunProgress(STEPS, seconds_before(folder / "steps.json", STEPS), console=console) as progress:
        outputs = run_locally(train_pipeline, arguments_of(config, cause=cause), folder=folder, notify=progress)
    rows = write_steps(folder / "steps.json", progress, outputs)
    page = _publish(config, outputs)
    shutil.rmtree(config.workdir / "checkpoints", ignore_errors=True)  # the cache holds what they led to
    total_s = sum(row["seconds"] for row in rows if not row["cached"])
    console.print(f"{_verdict(outputs['release'].metadata)}; report: {page}; took {minutes(total_s)}", soft_wrap=True)


@app.command("compile")
def compile_pipeline(out: Annotated[Path, typer.Option(help="YAML file to write.")] = Path("train.yaml")) -> None:
    """Write the pipeline as KFP IR YAML."""
    print(compile_to(train_pipeline, out))


@app.command()
def submit(
    endpoint: Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines API.")],
    config_json: ConfigJson,
    cause: Cause = "asked for",
) -> None:
    """Start a run on a Kubeflow cluster; its folders lie on the volume that the pipeline mounts."""
    config = read_resolved(config_json)
    there = config.model_copy(update={"workdir": Path(MOUNT) / config.name})
    arguments = arguments_of(there, cause=cause)
    print(submit_run(train_pipeline, arguments, endpoint=endpoint, experiment=f"raconteur-{config.name}"))


def arguments_of(config: Config, *, cause: str) -> dict[str, str]:
    """The pipeline's parameters; every folder of a run lies below its workdir.

    Checkpoints of another source or another program are not resumed: they lie in a folder of their own.
    """
    source = source_fingerprint(config)
    return {
        "config": config.model_dump_json(exclude={"serve", "monitor"}),
        "gate": config.model_dump_json(),
        "source": source,
        "store": str(config.workdir / "features"),
        "checkpoints": str(config.workdir / "checkpoints" / f"{source}-{code_fingerprint()}"),
        "registry": str(config.workdir / "models"),
        "cause": cause,
    }


def _drop_stale_cache(config: Config, folder: Path) -> None:
    """Steps write into the feature store beside their artefacts: without it a kept step would leave it empty."""
    if not (config.workdir / "features").exists():
        shutil.rmtree(folder / "cache", ignore_errors=True)


def _publish(config: Config, outputs: dict[str, Any]) -> Path:
    """The report is that of the newest run; the data set beside the registry is that of the serving champion."""
    promoted = outputs["release"].metadata.get("promoted", 0.0) == 1.0
    if promoted or not (config.workdir / "data").exists():
        publish_folder(Path(outputs["data"].path), config.workdir / "data")
    publish_folder(Path(outputs["arms"].path), config.workdir / "evaluation")
    return write_run_report(config)


def _verdict(gate: dict[str, float]) -> str:
    """What the gate said, for the person who waits; the record with all of it is `gate.json` of the version."""
    figures = ", ".join(f"{name} {gate[name]:.3f}" for name in ("challenger_recall", "rival_recall") if name in gate)
    verdict = "promoted" if gate.get("promoted") == 1.0 else "not promoted, the champion stays"
    return f"new version {verdict} ({figures})" if figures else f"new version {verdict}"


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
