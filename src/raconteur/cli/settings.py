"""The options that most commands share, and how they become a config.

Importing this costs nothing: pydantic and the schema are loaded when a command resolves its config, not for `--help`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.errors import ConfigError

if TYPE_CHECKING:
    from raconteur.config.schema import Config

DEFAULT_FILE = Path("configs/demo.toml")
RESOLVED = "config.json"

ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--config", help=f"TOML file; repeatable, later ones win. Default: {DEFAULT_FILE}, if it is there."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override, section.key=value; repeatable, wins over files.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved config and do nothing.")]


def resolve(files: list[Path] | None, overrides: list[str] | None, *, dry_run: bool = False) -> "Config":
    """The config of a command, with its workdir made absolute; a dry run prints it and ends the program.

    Raises:
        ConfigError: a file or an override is refused.
    """
    from raconteur.config.load import load

    chosen = files if files else [DEFAULT_FILE] if DEFAULT_FILE.exists() else []
    config = load(chosen, overrides or ())
    if dry_run:
        typer.echo(config.model_dump_json(indent=2))
        raise typer.Exit
    return config.model_copy(update={"workdir": config.workdir.resolve()})


def make_workdir(workdir: Path) -> None:
    """
    Raises:
        ConfigError: nothing can be written there.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"workdir {workdir} cannot be made: {error.strerror}") from None
    if not os.access(workdir, os.W_OK):
        raise ConfigError(f"workdir {workdir} cannot be written")


def write_resolved(config: "Config", *, name: str = RESOLVED) -> Path:
    """Writes the config into the workdir, where the programs of the edge read it."""
    from raconteur.artifacts import write_json

    path = config.workdir / name
    write_json(path, config.model_dump(mode="json"))
    return path


def read_resolved(path: Path) -> "Config":
    """
    Raises:
        ConfigError: the file is missing, no JSON, or no config.
    """
    from pydantic import ValidationError

    from raconteur.config.schema import Config

    try:
        return Config.model_validate_json(path.read_text())
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        issue = error.errors()[0]
        place = ".".join(str(part) for part in issue["loc"]) or "the file"
        raise ConfigError(
            f"config {path}: {place}: {issue['msg']}; write it with `raconteur train --dry-run`"
        ) from None
