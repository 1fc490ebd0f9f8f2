"""How much a client may ask for: requests a second, bytes of a body, requests in work at once.

Plain ASGI middlewares, since Starlette's BaseHTTPMiddleware starts a task and a queue for every request. Their order,
from the outside: key, `LimitWork`, `LimitBody`. So a body is only read for a request that has a place, and a client
that sends one slowly holds its place for BODY_WITHIN_S at most.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.door.refusals import refuse
from serving.records.metrics import ShedCause

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_WITHIN_S = 10.0  # the last byte of a body comes at most this long after its head
RETRY_BUSY_S = 1  # when to come back where too many requests are in work
MAX_BUCKETS = 10_000


class Buckets:
    """Token buckets by name: each holds up to `burst` requests and gains `rate_per_s` of them a second.

    Bounded: past `max_buckets` the one that was not asked for longest is forgotten, and would start full again.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float], *, max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name: requests left, as of second

    def take(self, name: str, *, rate_per_s: float, burst: int) -> float:
        """Takes a request out of a bucket; seconds until there will be one where there is none, else 0.0."""
        now_s = self._clock()
        left, as_of_s = self._buckets.pop(name, (float(burst), now_s))
        left = min(burst, left + (now_s - as_of_s) * rate_per_s)
        enough = left >= 1.0
        self._buckets[name] = (left - enough, now_s)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - left) / rate_per_s


class LimitWork:
    """Keeps at most `max_waiting` requests in work: one more is answered 429 at once.

    Args:
        is_shed: whether a request of this method and path counts and may be turned away.
        count: told "queue" for each one that is.
    """

    def __init__(
        self, app: ASGIApp, *, max_waiting: int, is_shed: Callable[[str, str], bool], count: Callable[[ShedCause], None]
    ) -> None:
        self._app = app
        self._count = count
        self._max_waiting = max_waiting
        self._is_shed = is_shed
        self._num_in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_shed(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        if self._num_in_work >= self._max_waiting:
            self._count("queue")
            message = f"{self._num_in_work} requests are in work, which is the limit; try again in a moment"
            await refuse(send, 429, message, {"retry-after": str(RETRY_BUSY_S)})
            return
        self._num_in_work += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_in_work -= 1


class LimitBody:
    """Hands a body on once it is there whole; one that is longer than it may be, also without saying so, never is."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, within_s: float = BODY_WITHIN_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._within_s):
                body = await self._read(scope, receive)
        except TimeoutError:
            message = f"the body did not come within {self._within_s:g} s"
            await refuse(send, 408, message, {"connection": "close"})  # nobody waits for the rest of it
        except ClientDisconnect:
            return
        else:
            if body is None:
                await refuse(send, 413, f"the body is too long; at most {self._max_bytes} bytes are allowed")
            else:
                await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too long, by its header or by what came."""
        if _declared_bytes(scope) > self._max_bytes:
            return None
        chunks, num_bytes, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            num_bytes += len(chunks[-1])
            if num_bytes > self._max_bytes:
                return None
            more = message.get("more_body", False)
        return b"".join(chunks)


def _declared_bytes(scope: Scope) -> int:
    """What `content-length` says; 0 where it is missing or no number."""
    value = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"")
    return int(value[:18]) if value.isdigit() else 0  # cut: int() refuses thousands of digits


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first and then what the client still does."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
