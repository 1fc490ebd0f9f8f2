"""Opens and registers the Feast store of one run: a folder with tables, registry, online rows and its own YAML.

The definitions are in `feature_repo/`, which Feast executes by itself; nothing here imports them.
"""

import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Literal

from feast import FeatureStore

from raconteur.errors import ConfigError, DataError

Online = Literal["sqlite", "redis"]
FOLDER_VARIABLE = "RACONTEUR_FEATURES"
REDIS_VARIABLE = "RACONTEUR_REDIS_URL"
APPLY_TIMEOUT_S = 300.0
YAML = "feature_store.yaml"
SETTINGS: dict[Online, str] = {"sqlite": YAML, "redis": "feature_store.redis.yaml"}


def apply(store: Path, *, online: Online = "sqlite") -> None:
    """Registers the definitions for the tables in `store` and makes the folder readable by itself.

    A process of its own (`feast apply`), because Feast imports the definitions once a process and they name the folder.

    Args:
        online: where the rows that serving reads are kept; `redis` is the one that RACONTEUR_REDIS_URL names.

    Raises:
        ConfigError: the address of Redis is missing or of another form, or Feast refuses the definitions (the message
            ends with what it said).
    """
    store = store.resolve()
    definitions = _definitions()
    settings = definitions / SETTINGS[online]
    _check_environment(settings.read_text())
    command = [sys.executable, "-m", "feast.cli.cli", "--chdir", str(definitions), "-f", str(settings), "apply"]
    environment = {**os.environ, FOLDER_VARIABLE: str(store)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=APPLY_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"`feast apply` for {store} took more than {APPLY_TIMEOUT_S:.0f} s; run it again") from None
    if done.returncode != 0:
        raise ConfigError(f"`feast apply` for {store} failed: {(done.stderr or done.stdout).strip()[-800:]}")
    _write_yaml(settings, store)
    _allow_reads_while_writing(store / "online.db")


def open_store(store: Path) -> FeatureStore:
    """
    Raises:
        DataError: nothing was applied in the folder yet.
        ConfigError: the address of its Redis is missing or of another form.
    """
    if not (store / YAML).is_file():
        raise DataError(f"{store} is no feature store yet: {YAML} is missing; run `raconteur features apply`")
    _check_environment((store / YAML).read_text())
    return FeatureStore(repo_path=str(store.resolve()))


def _definitions() -> Path:
    found = importlib.util.find_spec("feature_repo")
    if found is None or found.origin is None:
        raise ConfigError("the package feature_repo is not installed; install the project or run in its root folder")
    return Path(found.origin).parent


def _check_environment(settings: str) -> None:
    """Feast would take a variable that is not set for the name of a host."""
    if f"${{{REDIS_VARIABLE}}}" not in settings:
        return
    address = os.environ.get(REDIS_VARIABLE, "")
    if not re.match(r"[^:/,=]+:\d+(,|$)", address):
        found = "is not set" if not address else "has another form"  # it may hold a password: never shown
        raise ConfigError(f"{REDIS_VARIABLE} {found}; expected host:port, and settings after commas (password=...)")


def _write_yaml(source: Path, store: Path) -> None:
    """Fills the folder in and leaves other variables, such as an address with its password, to the environment."""
    settings = source.read_text().replace(f"${{{FOLDER_VARIABLE}}}", str(store))
    if (store / YAML).is_file() and (store / YAML).read_text() != settings:
        shutil.rmtree(store / "materialized", ignore_errors=True)  # another online store may have none of the rows
    temporary = store / f".{YAML}.tmp"
    temporary.write_text(settings)
    temporary.replace(store / YAML)


def _allow_reads_while_writing(online: Path) -> None:
    """Puts SQLite into write-ahead mode, so that a server reads on while a pipeline writes all users."""
    if online.is_file():
        connection = sqlite3.connect(online, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
