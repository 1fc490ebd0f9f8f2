"""How often the Reasoner may be asked in all: the cost budget that the router looks at."""

import time
from collections.abc import Callable


class Budget:
    """Calls saved up at a steady rate, a minute's worth or one call at most.

    Args:
        per_minute: calls; None: no budget.
        clock: seconds that never go back.
    """

    def __init__(self, per_minute: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left = self._most = max(1.0, per_minute or 0.0)
        self._as_of_s = clock()

    @property
    def left(self) -> float | None:
        """Calls; None: as many as anybody likes."""
        if self._per_minute is None:
            return None
        now_s = self._clock()
        gained = (now_s - self._as_of_s) / 60.0 * self._per_minute
        self._left, self._as_of_s = min(self._most, self._left + gained), now_s
        return self._left

    def spend(self) -> None:
        """One call more."""
        if self.left is not None:
            self._left -= 1.0
