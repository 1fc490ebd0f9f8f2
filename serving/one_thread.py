"""One thread that computes, and a bounded number of those who wait for it.

The model servers and a ranker in the recommender's process stand on it: the event loop stays free for health and
metrics while a model works, versions never mix in a call, and what could not be done soon is refused at once.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from raconteur.errors import ServingError, UnaskedError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class BusyError(UnaskedError):
    """As many wait as may; a moment later there is room again."""


class OneThread:
    """
    Args:
        name: of the part, for messages and the thread.
        max_waiting: places; those that are worked on have one too.
        changed: told how many places are taken, whenever that changes.
    """

    def __init__(self, name: str, *, max_waiting: int, changed: Callable[[int], None] = lambda _: None) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._changed = changed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._closed = False
        self.num_waiting = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places, for as long as the block lasts.

        Raises:
            BusyError: all are taken.
            ServingError: it is closed.
        """
        if self._closed:
            raise ServingError(f"{self._name} is closed")
        if self.num_waiting >= self._max_waiting:
            raise BusyError(f"{self._name} is busy: {self.num_waiting} requests are waiting; try again")
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    async def compute(self, call: Callable[Given, Result], *args: Given.args, **named: Given.kwargs) -> Result:
        """What the call returns or raises; request id and span of who asks go along into the thread."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: context.run(call, *args, **named))

    def close(self) -> None:
        """Takes nobody in any more; what has its place is still computed."""
        self._closed = True
        self._thread.shutdown(wait=False)

    def _count(self, change: int) -> None:
        self.num_waiting += change
        self._changed(self.num_waiting)
