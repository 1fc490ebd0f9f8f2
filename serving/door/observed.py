"""Sees every request from outside: counts it, also one that is turned away, and opens its span."""

from contextlib import nullcontext

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.records.metrics import OTHER, Metrics
from serving.records.tracing import annotate, server_span


class Observed:
    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with server_span(Headers(scope=scope), "recommend") if scope["method"] == "POST" else nullcontext():
            try:
                await self._app(scope, receive, watched)
            finally:
                # The pattern of the route, not the path that a client made up: labels must stay few.
                path = getattr(scope.get("route"), "path", OTHER)
                annotate(path=path, status=status)
                self._metrics.count_request(path, status)
