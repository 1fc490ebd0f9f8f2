"""Whether the recommender should be sent requests: what health endpoints answer, and how the service ends.

starting   the stock is not loaded yet
serving
draining   it was told to end: what is in work is finished, new requests are refused

A model server that is down changes nothing here: answers are then degraded, which is better than none.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from raconteur.errors import ServingError
from serving.door.refusals import refuse
from serving.records.metrics import ShedCause

State = Literal["starting", "serving", "draining"]
RETRY_S = 2  # when another replica, or this one after a restart, is likely to answer


class Readiness:
    """Of one process; used within its event loop."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.num_in_work = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ready(self) -> bool:
        return self.state == "serving"

    def open(self) -> None:
        """Everything is loaded. A service that is draining stays so."""
        if self.state == "starting":
            self.state = "serving"

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request in work.

        Raises:
            ServingError: none is taken now.
        """
        if not self.ready:
            raise ServingError(f"the recommender is {self.state} and takes no requests; ask again in {RETRY_S} s")
        self.num_in_work += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.num_in_work -= 1
            if self.num_in_work == 0:
                self._idle.set()

    async def drain(self, within_s: float) -> int:
        """Refuses new requests from now on and waits for those in work; how many were left when the time was up."""
        self.state = "draining"
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        return self.num_in_work


class OnlyWhileReady:
    """Answers 503 to requests that come while the service starts or drains, and counts the others as work.

    Args:
        is_work: whether a request of this method and path is one; health and pages are not.
        count: told "draining" for each one that is turned away.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        readiness: Readiness,
        is_work: Callable[[str, str], bool],
        count: Callable[[ShedCause], None],
    ) -> None:
        self._app = app
        self._count = count
        self._readiness = readiness
        self._is_work = is_work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_work(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
        elif self._readiness.ready:
            with self._readiness.request():
                await self._app(scope, receive, send)
        else:
            self._count("draining")
            message = f"the recommender is {self._readiness.state}; ask again in {RETRY_S} s"
            await refuse(send, 503, message, {"retry-after": str(RETRY_S), "connection": "close"})
