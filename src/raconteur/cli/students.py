"""`raconteur students`: students beside their teacher and twins, ranking in two stages, and the router between them."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import Overrides, make_workdir
from raconteur.threads import wait_briefly

CONFIG = Path("configs/ablation.toml")
CHOSEN = ["*/0/rewrite"]


def students(
    config: Annotated[Path, typer.Option("--config", help="TOML file with an [ablation].")] = CONFIG,
    overrides: Overrides = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of", help="Whose students: data/seed/verbalizer, * fits all; repeatable. Default: */0/rewrite."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the stages and which are there.")] = False,
) -> None:
    """Distil, build and measure students of the table's Reasoners; what is done is kept, and shared with `ablate`."""
    wait_briefly()
    from raconteur.config.ablation import load_ablation
    from raconteur.train.ablate.students import describe, select

    ablation = load_ablation(config, overrides or ())
    chosen = select(ablation, of or CHOSEN)
    if dry_run:
        typer.echo(describe(chosen))
        return
    from raconteur.train.ablate.students_page import write_page

    make_workdir(ablation.workdir)
    command = shlex.join(["raconteur", *sys.argv[1:]])
    typer.echo(f"page: {write_page(chosen, ablation.workdir, command=command)}")
