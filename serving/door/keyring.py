"""The keys of a file, read again when the file changes: added and removed without a restart.

Fails closed: a file that cannot be read, or that was there and is gone, lets nobody in.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from raconteur.errors import ConfigError
from raconteur.keys import Key, read_keys

logger = logging.getLogger(__name__)

Stamp = tuple[int, ...] | None  # changes whenever the file does; None: there is none


class KeyRing:
    """
    Args:
        path: the keys file.
        needed: without a file nobody comes in; False: everybody does, as long as no file was ever there.
    """

    def __init__(self, path: Path, *, needed: bool) -> None:
        self._path = path
        self._needed = needed
        self._stamp: Stamp = ()  # nothing was looked at yet
        self._keys: Sequence[Key] | None = None
        self._fault = ""

    def keys(self) -> Sequence[Key] | None:
        """The keys as the file has them now; None: no key is needed.

        Raises:
            ConfigError: they cannot be known.
        """
        stamp = _stamp(self._path)  # before it is read: a change in between is then seen by the next call
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        if self._fault:
            raise ConfigError(self._fault)
        return self._keys

    def _read(self) -> None:
        try:
            self._keys, self._fault = read_keys(self._path), ""
        except ConfigError as error:
            self._keys, self._fault = None, str(error)
        if self._keys is None and self._needed and not self._fault:
            self._fault = f"keys file {self._path} is not there; make one with `raconteur keys add`"
        self._needed = self._needed or self._keys is not None or bool(self._fault)
        if self._fault:
            logger.error("%s; until that is mended, what needs a key is refused", self._fault)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return (error.errno or 0,)
    # A change of permissions moves only ctime, and nobody can set that back.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
