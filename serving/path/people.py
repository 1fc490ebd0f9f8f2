"""Who asks: the user's state from the feature store, or what stands in for it when the store is down.

A store that fails is answered from the last known state. Events that it did not take are put on top of what is read,
and given to it again when it answers; they are in the event log all the same, which training reads.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol, TypeVar

from raconteur.errors import ServingError
from raconteur.features.rules import Rules
from raconteur.features.state import UserState, advance
from raconteur.types import Event
from serving.path.breaker import Breaker, SpentError
from serving.path.cache import Cache

MAX_KNOWN = 2_000  # users whose last state is kept: some 40 KB each with a hundred events
MAX_AHEAD = 4  # calls given to the store's thread: with one, it would idle until the event loop brings the next
MAX_UNPUSHED = 5_000  # users whose events wait for the store
Result = TypeVar("Result")
Categories = Mapping[str, Sequence[str]]


class Features(Protocol):
    """The online store: serving/path/features.py, or another one of the same shape."""

    def read(self, user_id: str) -> UserState | None: ...

    def push(self, user_id: str, events: Sequence[Event], categories: Categories) -> UserState | None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a user; `failure` says why the store could not say it."""

    state: UserState | None
    failure: str | None = None


class People:
    """
    Args:
        timeout_s: what a read may take; a request that had less time for it says nothing of the store.
    """

    def __init__(self, features: Features, rules: Rules, breaker: Breaker, *, timeout_s: float) -> None:
        self._features = features
        self._timeout_s = timeout_s
        self._rules = rules
        self._breaker = breaker
        self._calling = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._turn = asyncio.Semaphore(MAX_AHEAD)
        self._last: Cache[UserState] = Cache(max_entries=MAX_KNOWN, ttl_s=math.inf)
        self._unpushed: OrderedDict[str, tuple[Event, ...]] = OrderedDict()

    async def read(self, user_id: str, *, categories: Categories, timeout_s: float) -> Known:
        """
        Args:
            categories: of the catalogue's items.
            timeout_s: after which the last known state stands in.
        """
        waiting = self._unpushed.pop(user_id, ())
        if waiting:  # the store takes them now, or they wait on
            return await self.learn(user_id, waiting, categories=categories, timeout_s=timeout_s)
        try:
            state = await self._ask(lambda: self._features.read(user_id), timeout_s)
        except ServingError as error:
            return Known(self._last.find(user_id), str(error))
        if state is not None:
            self._last.keep(user_id, state)
        return Known(state)

    async def learn(self, user_id: str, events: Sequence[Event], *, categories: Categories, timeout_s: float) -> Known:
        """The state after further events; it is what the next `read` says, also if the store did not take them."""
        known = [event for event in events if event.item_id in categories]
        try:
            state = await self._ask(lambda: self._features.push(user_id, known, categories), timeout_s)
        except ServingError as error:
            before = self._last.find(user_id) or UserState(user_id)
            # What a push that ran out of time still wrote is not applied twice: a repeat changes nothing.
            state = advance(before, known, categories=categories, rules=self._rules)
            self._wait_with(user_id, known)
            failure = str(error)
        else:
            failure = None
        if state is not None:
            self._last.keep(user_id, state)
        return Known(state, failure)

    def close(self) -> None:
        self._calling.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, call: Callable[[], Result], timeout_s: float) -> Result:
        """
        Raises:
            ServingError: the store failed, was too slow, or is left alone after failures.
        """
        hurried = timeout_s < self._timeout_s
        try:
            # The wait for the calls of others is no fault of the store: only a caller in a hurry bounds it.
            async with asyncio.timeout(timeout_s if hurried else None), self._turn:
                return await self._breaker.call(lambda: self._bounded(call, max(timeout_s, self._timeout_s)))
        except TimeoutError:
            raise SpentError(f"no answer within {timeout_s * 1000:.0f} ms") from None

    async def _bounded(self, call: Callable[[], Result], timeout_s: float) -> Result:
        """
        Raises:
            ServingError: the store failed or was too slow.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._calling, copy_context().run, call)
        except TimeoutError:
            raise ServingError(f"no answer within {timeout_s * 1000:.0f} ms") from None
        except ServingError:
            raise
        except Exception as error:  # a store fails in the ways of its backend; each of them degrades one answer
            raise ServingError(f"{type(error).__name__}: {error}") from error

    def _wait_with(self, user_id: str, events: Sequence[Event]) -> None:
        self._unpushed[user_id] = (*self._unpushed.pop(user_id, ()), *events)[-self._rules.num_recent_events :]
        if len(self._unpushed) > MAX_UNPUSHED:
            self._unpushed.popitem(last=False)
