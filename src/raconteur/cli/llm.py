"""`raconteur llm`: pretrained language models in place of the demo profile's (docs/production.md).

On several devices the same commands are started by `accelerate launch ... -m raconteur.cli.llm COMMAND`.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.failures import run_program
from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve

app = typer.Typer(no_args_is_help=True, help="Train pretrained language models by LoRA; measure speed and memory.")

FROZEN, VERBALIZER, TUNED = "llm-reasoner", "llm-verbalizer", "llm-tuned"  # folders below the workdir


@app.command()
def verbalizer(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Train the Verbalizer by GRPO against the frozen Reasoner; a killed run goes on where it was."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.train.pretrained import start_llm_reasoner, train_llm_verbalizer

    root = resolved.workdir
    start_llm_reasoner(resolved, root / "data", root / FROZEN)
    figures = train_llm_verbalizer(resolved, root / "data", root / FROZEN, root / VERBALIZER, root / "checkpoints")
    _tell(f"verbalizer {root / VERBALIZER}", figures)


@app.command()
def tune(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Train the Reasoner on the text of the trained Verbalizer; a killed run goes on where it was."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.train.pretrained import tune_llm_reasoner

    root = resolved.workdir
    figures = tune_llm_reasoner(
        resolved, root / "data", root / FROZEN, root / VERBALIZER, root / TUNED, root / "checkpoints"
    )
    _tell(f"reasoner {root / TUNED}", figures)


@app.command()
def smoke(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    shape: Annotated[
        str, typer.Option(help="Random weights of this shape where llm.base is not set: qwen3-0.6b, tiny.")
    ] = "qwen3-0.6b",
    out: Annotated[Path, typer.Option(help="Folder to work in; the figures are its smoke.json.")] = Path("runs/smoke"),
) -> None:
    """Write, score and take the configured training steps on a small world; print seconds, tokens a second and GiB."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.artifacts import write_json
    from raconteur.train.smoke import smoke as run

    figures = run(resolved, shape, out.resolve())
    write_json(out / "smoke.json", figures)
    _tell(f"smoke {out}", figures)


def _tell(title: str, figures: dict[str, float]) -> None:
    """Prints once, however many processes there are."""
    from raconteur.cli.show import print_figures

    if os.environ.get("RANK", "0") == "0":
        print_figures(title, figures)


if __name__ == "__main__":
    run_program(app)
