"""A circuit breaker: a part that failed several times in a row is left alone for a while, then tried by one request.

closed    asked as usual; so many failures in a row open it, and what is no fault of the part is none
open      not asked
half open after the pause one request is let through: its success closes the breaker, its failure opens it again
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from raconteur.errors import ServingError, UnaskedError

Result = TypeVar("Result")


class SpentError(UnaskedError):
    """The time that a request had for a part was up before the part's own."""


class Breaker:
    """
    Args:
        name: of the part, for messages.
        failures: in a row, after which the part is left alone.
        pause_s: how long it is left alone, in seconds.
        changed: told whether it is open now.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        pause_s: float,
        changed: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._max_failures = failures
        self._pause_s = pause_s
        self._changed = changed
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def state(self) -> str:
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._clock() - self._opened_at >= self._pause_s else "open"

    def check(self) -> None:
        """
        Raises:
            ServingError: the part is left alone for now.
        """
        state = self.state
        if state == "open" or (state == "half-open" and self._trying):
            raise ServingError(f"{self.name} failed {self._failures} times in a row and is left alone for a moment")

    async def call(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """What the part answers.

        Raises:
            ServingError: the part failed, or is left alone for now.
        """
        trial = self._admit()
        try:
            result = await ask()
        except UnaskedError:
            raise
        except ServingError:
            self._fail()
            raise
        finally:
            if trial:  # also one that was cancelled: the next request may try
                self._trying = False
        self._succeed()
        return result

    def _admit(self) -> bool:
        """Whether this request is the one that tries an open part."""
        self.check()
        if self.state == "closed":
            return False
        self._trying = True
        return True

    def _fail(self) -> None:
        self._failures += 1
        if self._failures >= self._max_failures:
            was_closed = self._opened_at is None
            self._opened_at = self._clock()
            if was_closed:
                self._changed(True)

    def _succeed(self) -> None:
        self._failures = 0
        if self._opened_at is not None:
            self._opened_at = None
            self._changed(False)
