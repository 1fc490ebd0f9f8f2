"""`python -m serving.load.echo`: a server that does nothing, to see what the client itself costs.

Answers every request with the same ranked list of ten items, on a free port of loopback that it prints first.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raconteur.errors import ServingError

ITEM = {"rank": 1, "item_id": "i1", "title": "a film of some year", "score": 0.5, "source": "ease", "reason": "x" * 80}
ANSWER = {
    **{"request_id": "0" * 32, "user_id": "u1", "items": [ITEM] * 10, "route": "student", "reason": "margin"},
    **{"degraded": False, "cached": False, "stage_ms": {}, "latency_ms": 0.0},
}


@contextmanager
def echo_server() -> Iterator[str]:
    """Runs the server in a process of its own and yields its address.

    Raises:
        ServingError: it did not start.
    """
    command = [sys.executable, "-m", "serving.load.echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port.isdigit():
                raise ServingError("the server that the client is measured against did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Echo(asyncio.Protocol):
    """Knows just enough of HTTP to tell where a request ends."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._end()) is not None:
            self._received = self._received[end:]
            self._transport.write(self._answer)  # type: ignore[attr-defined]

    def _end(self) -> int | None:
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return None
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        return len(head) + len(blank) + size if len(body) >= size else None


async def main() -> None:
    body = json.dumps(ANSWER).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(lambda: Echo(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches the whole group; who started this one says what happened
        asyncio.run(main())
