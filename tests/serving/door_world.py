"""The HTTP face of a local service, called as an ASGI server calls it: raw header bytes, no client to object."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass

from local_service import open_local
from serving_world import write_version

from serving.door.app import create_app
from serving.door.readiness import Readiness

WITHIN_S = 20.0  # after which an answer counts as one that never comes
MOMENT = ("request_id", "cached", "stage_ms", "latency_ms")  # what differs between two answers to one question


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def lasting(self):
        return {name: value for name, value in self.json().items() if name not in MOMENT}


class Door:
    """A service with its app; `post` and `get` within one event loop."""

    def __init__(self, workdir, **serve):
        if not (workdir / "models").exists():
            write_version(workdir / "models", "v1").promote("v1", cause="test")
        self.service, self.store, self.student, self.reasoner = open_local(workdir, **serve)
        readiness = Readiness()
        readiness.open()
        self.app = create_app(self.service, readiness)
        self.num_sent = 0

    async def post(self, path, body, headers=()):
        """Sends a body: bytes as they are, anything else as JSON."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await self.send("POST", path, body, headers)

    async def get(self, path):
        return await self.send("GET", path, b"", ())

    async def send(self, method, path, body, headers):
        self.num_sent += 1
        given = {b"host": b"127.0.0.1", b"content-type": b"application/json", **dict(headers)}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(given.items()),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent = []
        requests = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            return next(requests, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        async with asyncio.timeout(WITHIN_S):
            await self.app(scope, receive, send)
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))


@asynccontextmanager
async def opened(workdir, **serve):
    door = Door(workdir, **serve)
    try:
        yield door
    finally:
        await door.service.close()
