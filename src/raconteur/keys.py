"""API keys of the service: one JSON file that `raconteur keys` writes and the door of the recommender reads.

The file holds a SHA-256 of each token, not the token. A plain hash is enough here: a token is 32 random bytes, so there
is nothing to guess, and what slow, salted hashes protect are passwords that people choose.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from raconteur import private
from raconteur.errors import ConfigError
from raconteur.scopes import Scope

KEYS = "RACONTEUR_KEYS"  # environment: the keys file, where it is not that of the workdir
TOKEN_BYTES = 32


class Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # for people and logs; not secret
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of the token
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    rate_per_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]  # requests a second in the long run
    burst: PositiveInt  # requests at once after a pause
    created: AwareDatetime

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class _KeysFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...]

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError("two keys have the same name")
        return self


def keys_path(workdir: Path) -> Path:
    return Path(os.environ.get(KEYS) or workdir / "serving" / "keys.json")


def new_key(name: str, scopes: Sequence[Scope], *, rate_per_s: float, burst: int) -> tuple[Key, str]:
    """A key for the file, and the token that its holder sends: it cannot be had from the key again.

    Raises:
        ConfigError: the name has other characters than letters, digits and `._-`, a number is not above 0, or there is
            no scope.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        key = Key(
            name=name,
            sha256=_sha256(token),
            scopes=frozenset(scopes),
            rate_per_s=rate_per_s,
            burst=burst,
            created=datetime.now(UTC),
        )
    except ValidationError as error:
        raise ConfigError(f"key '{name}': {_first(error)}") from None
    return key, token


def find(keys: Sequence[Key], token: str) -> Key | None:
    """The key of a token, in a time that does not tell how close a wrong one came."""
    digest = _sha256(token)
    found = None
    for key in keys:  # all of them, also after a match
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def read_keys(path: Path) -> tuple[Key, ...] | None:
    """The keys in the order in which they were added; None where there is no file.

    Raises:
        ConfigError: the file cannot be read or is no keys file.
    """
    try:
        return _KeysFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"keys file {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigError(f"keys file {path}: {_first(error)}; write it with `raconteur keys`") from None


def add_key(path: Path, key: Key) -> None:
    """
    Raises:
        ConfigError: the name is taken, or the file cannot be read or written.
    """
    with _changing(path):
        keys = read_keys(path) or ()
        if any(other.name == key.name for other in keys):
            raise ConfigError(f"{path} has a key '{key.name}' already; remove it first, or choose another name")
        _write(path, (*keys, key))


def remove_key(path: Path, name: str) -> None:
    """Takes a key out. The last one leaves an empty file, which lets nobody in; no file at all would.

    Raises:
        ConfigError: there is no such key, or the file cannot be read or written.
    """
    with _changing(path):
        keys = read_keys(path) or ()
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            raise ConfigError(f"{path} has no key '{name}'; it has {', '.join(key.name for key in keys) or 'none'}")
        _write(path, left)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One change at a time: two that read the same keys would undo each other, and a removed key come back."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ConfigError(f"keys file {path} cannot be written: {error.strerror}") from None


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    private.replace(path, _KeysFile(keys=keys).model_dump_json(indent=2).encode() + b"\n")


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _first(error: ValidationError) -> str:
    """The first fault without the value that has it: it may be a token that was pasted into the wrong place."""
    issue = error.errors()[0]
    return f"{'.'.join(map(str, issue['loc'])) or 'the file'}: {issue['msg']}"
