"""Reads the resolved config that every program here is started with."""

from pathlib import Path

from pydantic import ValidationError

from raconteur.config.schema import Config
from raconteur.errors import ConfigError


def read_config(path: Path) -> Config:
    """
    Raises:
        ConfigError: the file holds no resolved config of this version.
    """
    try:
        return Config.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{path} is no resolved config of this version: {faults}; resolve it again") from None
