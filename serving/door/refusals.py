"""How a request is turned away before an endpoint sees it, and what a client sees of a failure that nobody foresaw."""

import json
import logging
from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FAULTS = 20  # of one body that are told

logger = logging.getLogger(__name__)


async def refuse(send: Send, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
    """Answers {"error": ...} with that status."""
    body = json.dumps({"error": error}).encode()
    head = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def answer_unreadable(_: Request, error: RequestValidationError) -> Response:
    """Answers 422 with what is wrong where, and without what was sent: it may be long, NaN, or half a character."""
    faults = [{name: fault[name] for name in ("type", "loc", "msg")} for fault in error.errors()[:MAX_FAULTS]]
    # As ASCII: a place in the body is named by the client, too.
    return Response(json.dumps({"detail": faults}), status_code=422, media_type="application/json")


class AnswerFailures:
    """Answers 500 where the app raised: the log gets the traceback, the client none of it.

    Starlette's own answer is plain text and comes from outside all middlewares, so it would lack their headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http" or started:  # an answer that was begun can only be cut off
                raise
            logger.exception("%s %s failed", scope["method"], getattr(scope.get("route"), "path", "before a route"))
            await refuse(send, 500, "the request failed for a reason that the service's log holds")
