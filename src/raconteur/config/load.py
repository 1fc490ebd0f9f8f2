"""Reads a config from TOML files and overrides, and writes the resolved one beside an artefact."""

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raconteur.config.schema import Config
from raconteur.errors import ConfigError


def load(paths: Sequence[Path] = (), overrides: Sequence[str] = ()) -> Config:
    """Merges TOML files left to right, then `section.key=value` overrides.

    Raises:
        ConfigError: a file is missing or no TOML, an override is no `key=value`, or a setting is refused.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _merge(merged, read_toml(path))
    for override in overrides:
        merged = _merge(merged, _parse_override(override))
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def fingerprint(config: Config, *sections: str) -> str:
    """Short hash of the named sections (all of them if none is named); equal settings give equal text."""
    wanted = {name: getattr(config, name) for name in sections} if sections else {"config": config}
    text = "\n".join(
        f"{name}={value.model_dump_json() if hasattr(value, 'model_dump_json') else value!r}"
        for name, value in sorted(wanted.items())
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_toml(path: Path, *, example: str = "configs/ for examples") -> dict[str, Any]:
    """
    Args:
        example: to see, where the file is missing.

    Raises:
        ConfigError: the file is missing, cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"config file {path} does not exist; see {example}") from None
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} is no TOML: {error}") from None


def _parse_override(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"override '{text}' is not of the form section.key=value")
    parsed = _parse_value(value)
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _parse_value(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value  # a bare word is a string: data.layout=movielens


def _merge(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        both_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _one_line(error: ValidationError) -> str:
    parts = []
    for issue in error.errors():
        place = ".".join(str(part) for part in issue["loc"]) or "config"
        message = (
            "unknown setting" if issue["type"] == "extra_forbidden" else issue["msg"].removeprefix("Value error, ")
        )
        parts.append(f"{place}: {message}")
    return "; ".join(parts)
