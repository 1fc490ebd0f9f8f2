"""Follows the champion pointer of the model registry and swaps what it names in place.

Used by the model servers and by the recommender. A new version is verified and loaded beside the one that serves; only
then the reference changes, which a request sees as one step. A version that fails is refused once and logged.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from raconteur.artifacts import Registry, verify
from raconteur.errors import ArtifactError, RaconteurError

Parts = TypeVar("Parts")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Parts]):
    """What serves now, and the version that it came from."""

    version: str
    parts: Parts


class Follower(Generic[Parts]):
    """Keeps `current` at the champion.

    Args:
        load: reads what this server needs from a verified version folder.
        interval_s: seconds between two looks at the pointer.
    """

    def __init__(self, registry: Registry, load: Callable[[Path], Parts], *, interval_s: float = 1.0) -> None:
        self._registry = registry
        self._load = load
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._refused: dict[str, str] | None = None  # pointer that failed; tried again when it is written anew
        self.current = self._load_first()

    def start(self) -> None:
        threading.Thread(target=self._follow, name="champion-follower", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> bool:
        """Looks once; True if another version serves now. Never raises: the version that serves keeps serving."""
        pointer = None
        try:
            pointer = self._registry.champion()
            if pointer is None or pointer == self._refused or pointer["version"] == self.current.version:
                return False
            self.current = self._verified(pointer["version"])
        except Exception as error:  # whatever a broken version does, it stays outside
            self._refused = pointer
            logger.error("refused a new champion, %s keeps serving: %s", self.current.version, error)
            return False
        logger.info("now serving %s", self.current.version)
        return True

    def _load_first(self) -> Loaded[Parts]:
        pointer = self._registry.champion()
        if pointer is None:
            raise ArtifactError(f"{self._registry.root} has no champion yet; run `raconteur train` first")
        try:
            return self._verified(pointer["version"])
        except RaconteurError as error:
            if not pointer.get("previous"):
                raise
            logger.error(
                "champion %s is unusable, falling back to %s: %s", pointer["version"], pointer["previous"], error
            )
            self._refused = pointer
            return self._verified(pointer["previous"])

    def _verified(self, version: str) -> Loaded[Parts]:
        folder = self._registry.folder(version)
        verify(folder)
        return Loaded(version, self._load(folder))

    def _follow(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self.check()
