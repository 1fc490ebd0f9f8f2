"""Retrieval where the processor is free: in this process for a lone request, in a second one while several are in work.

Retrieval is the largest part of an answer and holds the interpreter, so that with one process the second core stays
idle. The second process follows the champion as this one does, knows nothing of users, and is asked over a socket of
its own. Where it cannot answer (it starts, was killed, hangs, or serves another version yet) this process retrieves, so
nothing ever fails for it.

`python -m serving.path.beside FD` is the second process: FD is its end of the socket.
"""

import asyncio
import logging
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from raconteur.artifacts import Registry
from raconteur.config.schema import RouteConfig
from serving.follow import Follower, Loaded
from serving.path.stock import Found, Quest, Stock, load_stock, retrieve

MAX_ASKED = 8  # quests at the second process; one more is answered here
WAIT_S = 0.3  # a request waits at most this long for the second process
HANG_S = 5.0  # without an answer to a full queue, after which the second process is started again
PAUSE_S = 5.0  # before it is started again
LENGTH = struct.Struct("!I")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What the stock is loaded from, see `load_stock`."""

    models: Path
    features: Path
    route: RouteConfig
    own_reasoner: bool = True

    def open(self) -> Follower[Stock]:
        """
        Raises:
            ArtifactError: no usable champion.
        """
        return Follower(
            Registry(self.models),
            lambda version: load_stock(version, self.features, route=self.route, own_reasoner=self.own_reasoner),
        )


class Retrieval:
    """Used within one event loop. Without `start` everything is retrieved in this process."""

    def __init__(self, source: Source | None = None) -> None:
        self._source = source
        self._asked: deque[asyncio.Future[Found | None]] = deque()  # oldest first; answers come in this order
        self._moved_at = 0.0  # when the oldest of them became the oldest, on the clock of `time.monotonic`
        self._writer: asyncio.StreamWriter | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the second process answers."""
        return self._writer is not None

    def start(self) -> None:
        if self._source is not None:
            self._running = asyncio.create_task(self._keep_running(self._source))

    async def find(self, stock: Loaded[Stock], quest: Quest, *, alone: bool) -> Found:
        """
        Args:
            alone: no other request is in work: the way to the second process and back would only add to the latency.
        """
        found = None if alone else await self._ask(stock.version, quest)
        return retrieve(stock.parts, quest) if found is None else found

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _ask(self, version: str, quest: Quest) -> Found | None:
        writer = self._writer
        if writer is None:
            return None
        if not self._asked:
            self._moved_at = time.monotonic()
        elif len(self._asked) >= MAX_ASKED:
            if time.monotonic() - self._moved_at > HANG_S:
                logger.error("the second retrieval process hangs")
                self._writer = None
                writer.close()
            return None
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        writer.write(_framed((version, quest)))
        try:
            async with asyncio.timeout(WAIT_S):
                return await answer
        except TimeoutError:
            return None

    async def _keep_running(self, source: Source) -> None:
        while True:
            try:
                await self._run(source)
                logger.warning("the second retrieval process ended; this one retrieves until it is back")
            except Exception as error:  # whatever becomes of it, this process can do without
                logger.warning("no second retrieval process for now: %r", error)
            await asyncio.sleep(PAUSE_S)

    async def _run(self, source: Source) -> None:
        """One second process, from its start to its end."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            theirs.close()  # so that its end is the end of the connection
            try:
                await self._talk(ours, source)
            finally:
                process.kill()
                await asyncio.to_thread(process.wait)

    async def _talk(self, ours: socket.socket, source: Source) -> None:
        """Until the second process ends or is given up."""
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            writer.write(_framed(source))
            await _read(reader)  # its first word: everything is loaded
            self._writer = writer
            while True:
                found = await _read(reader)
                self._moved_at = time.monotonic()
                answer = self._asked.popleft()
                if not answer.done():  # else nobody waits any more
                    answer.set_result(found)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._writer = None
            writer.close()
            while self._asked:
                answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result(None)


def serve(connection: BinaryIO) -> None:
    """Answers quests until the other side closes."""
    source: Source = _receive(connection)
    follower = source.open()
    follower.start()
    _send(connection, "ready")
    with suppress(EOFError):
        while True:
            version, quest = _receive(connection)
            _send(connection, _found(follower.current, version, quest))


def _found(stock: Loaded[Stock], version: str, quest: Quest) -> Found | None:
    if stock.version != version:
        return None
    try:
        return retrieve(stock.parts, quest)
    except Exception:  # the asking process tries it itself, and says what is wrong
        return None


def _framed(message: object) -> bytes:
    """Pickled, since both ends are this program and nobody else has the socket."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


async def _read(reader: asyncio.StreamReader) -> Any:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return pickle.loads(await reader.readexactly(length))  # noqa: S301


def _send(connection: BinaryIO, message: object) -> None:
    connection.write(_framed(message))
    connection.flush()


def _receive(connection: BinaryIO) -> Any:
    """
    Raises:
        EOFError: the other side closed.
    """
    head = connection.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    return pickle.loads(connection.read(length))  # noqa: S301


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; its end is ours
    # The module by its name: what is pickled belongs to it, not to `__main__`.
    from serving.path import beside
    from serving.records.json_log import configure_json_logs

    configure_json_logs("retrieval")
    with socket.socket(fileno=int(sys.argv[1])) as ours, ours.makefile("rwb") as connection, suppress(BrokenPipeError):
        beside.serve(connection)
