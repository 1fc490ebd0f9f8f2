"""`raconteur evaluate`: the report of the newest run, in the terminal."""

from pathlib import Path

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve
from raconteur.errors import ArtifactError


def evaluate(config: ConfigFiles = None, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Print the table of all arms, with intervals; the page with plots stands beside it."""
    print_report(resolve(config, overrides, dry_run=dry_run).workdir / "report")


def print_report(folder: Path) -> None:
    """
    Raises:
        ArtifactError: no run has written a report yet.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    try:
        text = (folder / "report.md").read_text()
    except FileNotFoundError:
        raise ArtifactError(f"{folder} holds no report.md yet; run `raconteur train` first") from None
    console = Console()
    console.print(Markdown(text))
    console.print(f"page with plots: {folder / 'index.html'}", soft_wrap=True, highlight=False)
