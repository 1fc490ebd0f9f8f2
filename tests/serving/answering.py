"""A small real HTTP server whose every answer is a test's own, in a thread beside the test."""

import asyncio
import json
import threading
from contextlib import contextmanager


def ranked(route="student", *, degraded=False, cached=False, latency_ms=0.0, **stage_ms):
    """Body of an answer as the service gives it, in as far as load tools read it."""
    told = {"route": route, "degraded": degraded, "cached": cached, "latency_ms": latency_ms, "stage_ms": stage_ms}
    return json.dumps(told).encode()


def http(body, status=200, headers=""):
    return f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Server:
    def __init__(self, reply):
        self._reply = reply
        self._loop = asyncio.new_event_loop()
        self.bodies, self.heads = [], []
        self.num_connections = 0

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, started):
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopped.wait()

    def run(self, started):
        self._loop.run_until_complete(self.serve(started))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def stop(self):
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _talk(self, reader, writer):
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.heads.append(head.decode())
                self.bodies.append(json.loads(await reader.readexactly(size)))
                answer = await self._reply(len(self.bodies) - 1)
                if isinstance(answer, tuple):  # last words
                    writer.write(answer[0])
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


@contextmanager
def answering(reply):
    """Runs a server; `await reply(number)` gives the bytes of an answer, in a tuple where the server then hangs up."""
    server, started = Server(reply), threading.Event()
    thread = threading.Thread(target=server.run, args=(started,))
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def always(answer):
    async def reply(_):
        return answer

    return reply
