"""Keeps what was computed for an equal question a moment ago, and computes it once for those who ask at the same time.

A key holds everything that the value depends on, so an entry is never wrong, only old; the age is bounded all the same.
Ages are counted on the monotonic clock: a jump of the wall clock neither keeps nor drops anything.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Newest used last; the least recently used entry makes room.

    Args:
        max_entries: 0: nothing is kept, but equal questions of one moment are still computed once.
        ttl_s: age in seconds at which an entry is dropped.
        count: told `hit`, `miss`, `shared` (waited for another's computation) or `evicted`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        ttl_s: float,
        count: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._count = count
        self._clock = clock
        self._entries: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Value]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Hashable) -> Value | None:
        """What is kept for a key and young enough."""
        entry = self._entries.get(key)
        if entry is None or self._clock() - entry[0] >= self._ttl_s:
            self._entries.pop(key, None)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def keep(self, key: Hashable, value: Value) -> None:
        if not self._max_entries:
            return
        self._drop_old()
        self._entries[key] = (self._clock(), value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
            self._count("evicted")

    def _drop_old(self) -> None:
        """What nobody asked for again gives its memory back, from the least recently used on."""
        now = self._clock()
        while self._entries and now - next(iter(self._entries.values()))[0] >= self._ttl_s:
            self._entries.popitem(last=False)

    async def get(
        self, key: Hashable, make: Callable[[], Awaitable[Value]], *, keeps: Callable[[Value], bool] = lambda _: True
    ) -> tuple[Value, bool]:
        """The value for a key, and whether it was there already.

        Who waits for another's computation gets its value or its error. One who gives up does not end it for the rest.

        Args:
            keeps: whether a value made now may be given to later questions.
        """
        found = self.find(key)
        if found is not None:
            self._count("hit")
            return found, True
        task = self._making.get(key)
        self._count("miss" if task is None else "shared")
        shared = task is not None
        if task is None:
            task = asyncio.ensure_future(make())  # type: ignore[arg-type]  # an awaitable is enough
            self._making[key] = task
            task.add_done_callback(lambda done: self._finish(key, done, keeps))
        return await asyncio.shield(task), shared

    def _finish(self, key: Hashable, task: "asyncio.Task[Value]", keeps: Callable[[Value], bool]) -> None:
        self._making.pop(key, None)
        with suppress(asyncio.CancelledError):
            if task.exception() is None and keeps(task.result()):
                self.keep(key, task.result())
