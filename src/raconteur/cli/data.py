"""`raconteur data`: prepare a log, write the embedded world, look at a prepared data set."""

from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve

app = typer.Typer(no_args_is_help=True, help="Read, check and split logs; write the embedded world.")

Out = Annotated[Path | None, typer.Option(help="Folder to write; default: below the workdir.")]


@app.command()
def prepare(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False, out: Out = None) -> None:
    """Read the source log, check every row, split it and draw the candidate lists."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import print_figures, working
    from raconteur.data.prepare import prepare as run
    from raconteur.retrieve.ease import Ease

    folder = out or resolved.workdir / "data"
    with working(f"preparing {resolved.data.path or 'the embedded world'}"):
        figures = run(resolved, folder, fit_retriever=Ease.fit)
    print_figures(f"data set {folder}", figures)


@app.command()
def world(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False, out: Out = None) -> None:
    """Write the raw tables of the embedded world, a simulated streaming service."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import print_figures, working
    from raconteur.data.world import write_world

    folder = out or resolved.workdir / "world"
    with working("simulating"):
        figures = write_world(resolved.world, folder)
    print_figures(f"world {folder}", figures)


@app.command()
def show(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    folder: Annotated[Path | None, typer.Option(help="Prepared data set; default: that of the workdir.")] = None,
    user: Annotated[str | None, typer.Option(help="Print this user's newest events too.")] = None,
) -> None:
    """Print the counts of a prepared data set, what was quarantined and why, and a user's events."""
    from raconteur.artifacts import read_manifest
    from raconteur.cli.show import print_events, print_figures

    place = folder or resolve(config, overrides).workdir / "data"
    manifest = read_manifest(place)
    print_figures(
        f"data set {place}", {key: value for key, value in manifest.items() if key not in ("files", "config")}
    )
    if user is not None:
        print_events(place, user)
