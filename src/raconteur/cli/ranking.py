"""`raconteur ranking`: retrievers over the whole catalogue, fitted before validation and before the test."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import Overrides, make_workdir
from raconteur.threads import wait_briefly

CONFIG = Path("configs/ablation.toml")


def ranking(
    config: Annotated[Path, typer.Option("--config", help="TOML file with an [ablation].")] = CONFIG,
    overrides: Overrides = None,
    of: Annotated[
        list[str] | None, typer.Option("--of", help="Which data: data/seed, * fits all; repeatable. Default: */0.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the stages and which are there.")] = False,
) -> None:
    """Rank the whole catalogue by every retriever; what is done is kept, and shared with `ablate` and `students`."""
    wait_briefly()
    from raconteur.config.ablation import load_ablation
    from raconteur.train.ablate.ranking import describe, select, write_page

    ablation = load_ablation(config, overrides or ())
    chosen = select(ablation, of or ["*/0"])
    if dry_run:
        typer.echo(describe(chosen))
        return
    make_workdir(ablation.workdir)
    command = shlex.join(["raconteur", *sys.argv[1:]])
    typer.echo(f"page: {write_page(chosen, ablation.workdir, command=command)}")
