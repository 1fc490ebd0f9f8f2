"""`raconteur ablate`: the table of all Verbalizers, Reasoners, negatives and data, cell by cell."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import Overrides, make_workdir
from raconteur.threads import wait_briefly

CONFIG = Path("configs/ablation.toml")


def ablate(
    config: Annotated[Path, typer.Option("--config", help="TOML file with an [ablation].")] = CONFIG,
    overrides: Overrides = None,
    cell: Annotated[
        list[str] | None,
        typer.Option("--cell", help="Run these cells alone: data/seed/verbalizer/reasoner, * fits all; repeatable."),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Start no cell later than this; the rest is done by the next run.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and what each lacks.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write the report of what is done, and run nothing.")
    ] = False,
) -> None:
    """Fill the table and write its report; cells that are done are kept, and a killed run goes on where it was."""
    wait_briefly()
    from raconteur.config.ablation import load_ablation
    from raconteur.train.ablate.plan import describe, plan, select

    ablation = load_ablation(config, overrides or ())
    cells = plan(ablation)
    chosen = select(cells, cell or ())
    if dry_run:
        typer.echo(describe(chosen))
        return
    make_workdir(ablation.workdir)
    from raconteur.train.ablate.report import write_report
    from raconteur.train.ablate.results import damaged

    failed: dict[str, str] = {}
    if not report:
        from raconteur.train.ablate.run import fill

        outcome = fill(chosen, max_minutes=max_minutes)
        failed = outcome.failed
        if outcome.left:
            typer.echo(
                f"the time is up; {len(outcome.left)} cells are left, the next run goes on with {outcome.left[0]}"
            )
    failed |= damaged(cells)
    command = shlex.join(["raconteur", *sys.argv[1:]])
    typer.echo(f"report: {write_report(ablation, cells, failed=failed, command=command)}")
    if failed:
        typer.echo("\n".join(["failed:", *(f"  {name}: {reason}" for name, reason in failed.items())]), err=True)
        raise typer.Exit(1)
