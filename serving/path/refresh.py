"""Writes narratives again in the background, so that what a ranker reads is the Verbalizer's text and not its tail.

A user whose narrative lacks `serve.refresh_after` events, or was written by another Verbalizer than the one that
serves, waits in a bounded queue. One task takes the oldest, asks the Verbalizer for a text and pushes it online; the
offline table is left to the batch step. Nothing here is on the path of a request, and a text that fails or is dropped
costs no more than a longer tail of events behind the old one; the user's next request or event offers it again.

What is read is `UserState.recent_events`: the newest `text.max_events` events, which is also what the narrate step
reads of a prepared log. For a user with as many events or fewer it is the whole history. The two differ in what only
`prepare` does: events of one instant stand in the order of their arrival here and in the log's there, a repeat of an
event older than the newest ones is dropped there, and the rows that it puts into quarantine are missing there.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Literal, Protocol

from raconteur.features.state import UserState
from raconteur.represent.recent import newer_than
from raconteur.types import History, Narrative
from serving.backends.verbalizer import VerbalizerClient
from serving.narration import Author

MAX_WAITING = 1000  # users; a further one is dropped
MAX_ATTEMPTS = 3  # of a user whose text failed
INTERVAL_S = 1.0  # between two texts; doubled with every failure in a row ...
MAX_DOUBLINGS = 6  # ... up to this many
TIMEOUT_S = 30.0  # of a text

# written; outdated: the store holds a later one; needless: fresh by now, or gone; failed: tried again; dropped: not.
Outcome = Literal["written", "outdated", "needless", "failed", "dropped"]

logger = logging.getLogger(__name__)


class Store(Protocol):
    """The online store: serving/path/features.py."""

    def read(self, user_id: str) -> UserState | None: ...

    def push_narrative(self, narrative: Narrative) -> bool: ...


class Refresh:
    """
    Args:
        verbalizer: None: nobody writes, so nothing is written again.
        after: `serve.refresh_after`; 0: no narrative is written again.
        count: told how each attempt ended.
        interval_s: between two texts, in seconds.
    """

    def __init__(
        self,
        store: Store,
        verbalizer: VerbalizerClient | None,
        *,
        after: int,
        count: Callable[[Outcome], None],
        interval_s: float = INTERVAL_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._store = store
        self._verbalizer = verbalizer
        self._after = after if verbalizer else 0
        self._count = count
        self._interval_s = interval_s
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, int] = OrderedDict()  # user to failed attempts, oldest first
        self._came = asyncio.Event()
        self._author: Author | None = None  # of the last text; None: not known yet
        self._asking_store = ThreadPoolExecutor(1, thread_name_prefix="refresh")  # never the thread of requests
        self._task: asyncio.Task[None] | None = None

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def offer(self, state: UserState) -> None:
        """Has the narrative written again if it is stale; costs a request next to nothing."""
        if state.user_id not in self._waiting and self._is_stale(state):
            self._put(state.user_id, attempts=0)

    def start(self) -> None:
        """Starts the task, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="refresh")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._asking_store.shutdown(wait=False, cancel_futures=True)
        if self._verbalizer:
            await self._verbalizer.close()

    def _is_stale(self, state: UserState) -> bool:
        if not self._after or not state.recent_events:
            return False
        return num_newer(state) >= self._after or self._is_of_another(state.narrative)

    def _is_of_another(self, narrative: Narrative | None) -> bool:
        if self._author is None or narrative is None:
            return False
        return narrative.verbalizer_version != self._author.verbalizer_version

    def _put(self, user_id: str, *, attempts: int) -> None:
        if attempts >= MAX_ATTEMPTS or len(self._waiting) >= self._max_waiting:
            self._count("dropped")
            return
        self._waiting[user_id] = attempts
        self._came.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._came.wait()
            user_id, attempts = self._waiting.popitem(last=False)
            if not self._waiting:
                self._came.clear()
            try:
                outcome = await self._refresh(user_id)
                failures = 0
            except Exception as error:  # the store's or the Verbalizer's; whatever it is, the next user is tried
                outcome, failures = "failed", failures + 1
                logger.warning("a narrative was not written again: %s: %s", type(error).__name__, error)
            self._count(outcome)
            if outcome == "failed":
                self._put(user_id, attempts=attempts + 1)
            if outcome != "needless":
                await asyncio.sleep(self._interval_s * 2 ** min(failures, MAX_DOUBLINGS))

    async def _refresh(self, user_id: str) -> Outcome:
        in_thread = asyncio.get_running_loop().run_in_executor
        state = await in_thread(self._asking_store, self._store.read, user_id)
        if state is None or not self._is_stale(state):
            return "needless"
        assert self._verbalizer, "without one no narrative counts as stale"
        text, self._author = await self._verbalizer.write(History(user_id, state.recent_events), timeout_s=TIMEOUT_S)
        narrative = Narrative(
            user_id, text, _as_of(state), self._author.verbalizer_version, self._author.catalogue_version
        )
        written = await in_thread(self._asking_store, self._store.push_narrative, narrative)
        return "written" if written else "outdated"


def num_newer(state: UserState) -> int:
    """Events that the narrative does not cover, of those that the state keeps."""
    as_of = state.narrative.as_of if state.narrative else None
    return len(newer_than(state.recent_events, as_of))


def _as_of(state: UserState) -> datetime:
    """Time of the newest event, but no later than now: from a client whose clock runs ahead it would hide what is
    still to come until then, whereas an event that is told twice does no harm.
    """
    return min(state.recent_events[-1].event_time, datetime.now(UTC))
