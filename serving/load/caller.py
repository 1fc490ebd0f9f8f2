"""Who asks: users of the run's data in random order, over HTTP, with a bar that shows the time left."""

import asyncio
import gc
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import orjson
from rich.progress import Progress

from serving.load.connection import Client, target_of
from serving.load.generate import Tick, arrivals, closed_loop, during, open_loop, take
from serving.load.record import Record

K = 10  # items asked for
TIMEOUT_S = 10.0


class Caller:
    """Loads on one service. The users go round: each is asked for once before anyone is asked for again.

    Raises:
        ConfigError: the address or the key cannot be used.
    """

    def __init__(self, address: str, users: Sequence[str], *, key: str | None, seed: int, progress: Progress) -> None:
        self.address = address
        self.users = random.Random(seed).sample(users, len(users))  # noqa: S311  # no secret
        self._target = target_of(address, key=key)
        self._bodies = itertools.cycle([orjson.dumps({"user_id": user, "k": K}) for user in self.users])
        self._seed = seed
        self._progress = progress

    def closed(self, concurrency: int, *, count: int) -> Record:
        """`count` requests, `concurrency` of them at a time."""
        with self.ticking(f"{concurrency} at a time") as tick:
            bodies = take(self._bodies, count, tick=tick)
            return self._run(lambda client: closed_loop(client, bodies, concurrency=concurrency))

    def closed_for(self, concurrency: int, *, seconds: float) -> Record:
        with self.ticking(f"{concurrency} at a time") as tick:
            bodies = during(self._bodies, seconds, tick=tick)
            return self._run(lambda client: closed_loop(client, bodies, concurrency=concurrency))

    def open(self, rate: float, *, seconds: float, beside: Callable[[], Awaitable[None]] | None = None) -> Record:
        """Arrivals at `rate` a second; `beside` runs in the same loop and is cancelled at the end."""
        planned_s = arrivals(rate, seconds, seed=self._seed)
        with self.ticking(f"{rate:.4g} a second") as tick:
            return self._run(lambda client: open_loop(client, self._bodies, planned_s, tick=tick), beside=beside)

    @contextmanager
    def ticking(self, name: str) -> Iterator[Tick]:
        """A bar of its own for a piece of work that tells its share done."""
        task = self._progress.add_task(name, total=1.0)
        yield lambda share: self._progress.update(task, completed=share)
        self._progress.update(task, completed=1.0)

    def _run(
        self, load: Callable[[Client], Awaitable[Record]], *, beside: Callable[[], Awaitable[None]] | None = None
    ) -> Record:
        """Runs a load on connections of its own."""

        async def session() -> Record:
            client = Client(self._target, timeout_s=TIMEOUT_S)
            companion = asyncio.ensure_future(beside()) if beside else None
            try:
                return await load(client)
            finally:
                client.close()
                if companion:
                    companion.cancel()
                    with suppress(asyncio.CancelledError):
                        await companion  # raises what it failed of

        gc.collect()
        gc.freeze()  # what was loaded before, Feast above all, would be walked again and again during the load
        return asyncio.run(session())
