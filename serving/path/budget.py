"""How often the Reasoner may be asked in all: the cost budget that the router looks at."""

import time
from collections.abc import Callable


class Budget:
    """Calls saved up at a steady rate: a minute's worth, and never less than one, can be saved, and as much be owed.

    Args:
        per_minute: calls; None: no budget.
        clock: seconds that never go back.
    """

    def __init__(self, per_minute: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._most = max(1.0, per_minute or 0.0)
        self._saved, self._as_of_s = self._most, clock()

    @property
    def left(self) -> float | None:
        """Calls; None: as many as anybody likes."""
        if self._per_minute is None:
            return None
        gained = (self._clock() - self._as_of_s) / 60.0 * self._per_minute
        return min(self._most, self._saved + gained)

    def spend(self) -> None:
        """Pays for one call. What no budget stops, an explanation say, may leave a debt."""
        self._move(-1.0)

    def give_back(self) -> None:
        """For a call that was paid for and not made."""
        self._move(1.0)

    def _move(self, calls: float) -> None:
        left = self.left
        if left is not None:
            self._saved, self._as_of_s = max(-self._most, left + calls), self._clock()
