"""User ids in logs: a keyed hash stands for the id, the same one for the same user as long as the key is kept.

The service writes pseudonyms into its prediction log and its text logs; monitoring, which knows the real ids from the
event log, makes the same ones and joins by them. Without the key nobody can tell a user from a pseudonym, also not by
trying out all ids.
"""

import hashlib
import os
import secrets
from pathlib import Path

from raconteur import private
from raconteur.errors import ConfigError

KEY = "RACONTEUR_PSEUDONYM_KEY"  # environment: the key itself, where it is not the file of the workdir
KEY_BYTES = 32
PSEUDONYM_BYTES = 16  # two of a billion users have the same pseudonym with a probability of 1e-21


def pseudonym(user_id: str, key: bytes) -> str:
    """32 hex digits. Source: BLAKE2b in its keyed mode (RFC 7693), which needs no HMAC around it."""
    name = user_id.encode(errors="surrogatepass")  # any text that Python can hold, each to bytes of its own
    return hashlib.blake2b(name, key=key, digest_size=PSEUDONYM_BYTES, person=b"raconteur-user").hexdigest()


def pseudonym_key(workdir: Path) -> bytes:
    """The key of the environment, else that of the workdir, which is made by whoever needs it first.

    Raises:
        ConfigError: it is not 64 hex digits, or its file can be neither read nor made.
    """
    if KEY in os.environ:
        return _key(os.environ[KEY], of=f"environment variable {KEY}")
    path = workdir / "serving" / "pseudonym.key"
    try:
        if not path.exists():
            _make(path)
        return _key(path.read_text(errors="replace"), of=str(path))
    except OSError as error:
        raise ConfigError(f"pseudonym key {path} can be neither read nor made: {error.strerror}") from None


def _make(path: Path) -> None:
    try:
        private.create(path, secrets.token_hex(KEY_BYTES).encode())
    except FileExistsError:
        return  # another process was faster; its key counts


def _key(text: str, *, of: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{of} is no key of {2 * KEY_BYTES} hex digits; `openssl rand -hex {KEY_BYTES}` makes one")
    return key
