"""Who may do what at the door of the recommender: API keys with scopes and rates.

`Access.decide` knows neither HTTP server nor gRPC: it takes a method, a path and headers, and says whether the request
passes. `AskForKey` applies it to an ASGI app; a gRPC interceptor calls it with "POST", the full method name and the
metadata as a mapping.
"""

import ipaddress
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from raconteur.config.schema import Config
from raconteur.errors import ConfigError
from raconteur.keys import Key, find, keys_path, read_keys
from serving.door.keyring import KeyRing
from serving.door.limits import Buckets
from serving.door.permissions import needed_scope
from serving.door.refusals import refuse
from serving.records.metrics import ShedCause

REALM = 'Bearer realm="raconteur"'
RETRY_CLOSED_S = 5  # when to come back where the keys file cannot be read


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request passes: status 200, or the status, text and headers of the refusal."""

    status: int = 200
    key: str | None = None  # name of the key, None where none was asked for or none fits
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        return self.status == 200


PASS = Decision()
UNKNOWN = Decision(
    401,
    error="a key that this service knows is needed: send `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`",
    headers={"www-authenticate": REALM},
)  # whether none, a wrong or a removed one was sent is not told
CLOSED = Decision(
    503, error="keys cannot be checked now; try again later", headers={"retry-after": str(RETRY_CLOSED_S)}
)


class Access:
    """
    Args:
        path: the keys file.
        keys_needed: False lets everybody in while there is no keys file: right on loopback only.
        clock: seconds that never go back.
    """

    def __init__(self, path: Path, *, keys_needed: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = KeyRing(path, needed=keys_needed)
        self._buckets = Buckets(clock)

    def decide(self, method: str, path: str, headers: Mapping[str, str]) -> Decision:
        """
        Args:
            headers: of the request, names in lower case.
        """
        needed = needed_scope(method, path)
        if needed is None:
            return PASS
        try:
            keys = self._ring.keys()
        except ConfigError:
            return CLOSED  # the log says why; a client need not know where the file lies
        if keys is None:
            return PASS
        key = find(keys, token_of(headers))
        if key is None:
            return UNKNOWN
        if not key.allows(needed):
            return _not_allowed(key, needed)
        wait_s = self._buckets.take(key.name, rate_per_s=key.rate_per_s, burst=key.burst)
        return _too_fast(key, wait_s) if wait_s else Decision(key=key.name)


class AskForKey:
    """Lets through what `Access` lets through, and notes the key's name in the request's state.

    Args:
        count: told "rate" for each request of a key that sends too many.
    """

    def __init__(self, app: ASGIApp, *, access: Access, count: Callable[[ShedCause], None]) -> None:
        self._app = app
        self._count = count
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        decision = self._access.decide(scope["method"], scope["path"], headers)
        if not decision.passes:
            if decision.status == 429:
                self._count("rate")
            await refuse(send, decision.status, decision.error, decision.headers)
            return
        scope.setdefault("state", {})["key"] = decision.key
        await self._app(scope, receive, send)


def token_of(headers: Mapping[str, str]) -> str:
    """The token that a request carries, "" if none; `x-api-key` counts where both are sent."""
    if "x-api-key" in headers:
        return headers["x-api-key"].strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def refuse_unguarded(config: Config) -> None:
    """Before anything listens.

    Raises:
        ConfigError: as `refuse_open_host`, or the keys file cannot be read.
    """
    refuse_open_host(config.serve.host, public=config.serve.public, keys=read_keys(keys_path(config.workdir)))


def refuse_open_host(host: str, *, public: bool, keys: Sequence[Key] | None) -> None:
    """
    Args:
        host: address to listen on.
        public: `serve.public`.
        keys: what `read_keys` found.

    Raises:
        ConfigError: others than this machine could ask, and that was not asked for or nobody would be checked.
    """
    if is_loopback(host):
        return
    if not public:
        raise ConfigError(
            f"serve.host = '{host}' lets other machines ask: set serve.public = true if they shall, or keep 127.0.0.1"
        )
    if not keys:
        raise ConfigError(
            f"serve.host = '{host}' lets other machines ask and there are no keys: make one with "
            f"`raconteur keys add NAME --scope recommend`, or keep 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost may come to mean anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_allowed(key: Key, needed: str) -> Decision:
    return Decision(
        403,
        key.name,
        f"key '{key.name}' has no scope '{needed}', which this path needs",
        {"www-authenticate": f'{REALM}, error="insufficient_scope", scope="{needed}"'},
    )


def _too_fast(key: Key, wait_s: float) -> Decision:
    return Decision(
        429,
        key.name,
        f"key '{key.name}' may send {key.rate_per_s:g} requests a second, {key.burst} at once",
        {"retry-after": str(math.ceil(wait_s))},
    )
