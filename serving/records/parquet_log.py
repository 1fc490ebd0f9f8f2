"""A log of rows as Parquet files, written off the request path: a bounded queue and one thread.

Used for predictions and for feedback. The newest file is replaced by a longer one until it is full or old, so that few
files hold a quiet day; whoever opens a file once reads it whole. A full queue or disk is counted, logged once, and
never stops the service. A process that is killed loses the rows of the last `max_seconds`, and none where the log keeps
a journal.
"""

import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serving.records.journal import Journal, Row, orphans

FILE_S = 600.0  # a file that is not full takes no more rows after this long
NAMED = "%Y%m%dT%H%M%S.%f"  # when a file was begun

logger = logging.getLogger(__name__)

_END = None


@dataclass(frozen=True, slots=True)
class _Open:
    """The file that takes further rows, and what it holds."""

    name: str
    begun_at: float  # seconds of the monotonic clock
    table: pa.Table


class ParquetLog:
    """Appends rows to a folder of Parquet files.

    Args:
        max_rows: rows that make a file full.
        max_seconds: a row waits at most this long before it is on disk.
        keep: files begun longer ago are removed when a new one is begun; None: none is.
        max_waiting: calls of `append` in the queue; the rows of further ones are dropped and counted.
        journal: what was appended outlives the process; what another one left is written first.
        count: told `("written" | "dropped" | "delayed", rows)` after each outcome; delayed: in the journal still.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        max_rows: int,
        max_seconds: float,
        count: Callable[[str, int], None],
        keep: timedelta | None = None,
        max_waiting: int = 5000,
        journal: bool = False,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._count = count
        self._keep = keep
        self._open: _Open | None = None
        self._queue: queue.Queue[Sequence[Row] | None] = queue.Queue(max_waiting)
        self._failing = False
        self._journal = Journal(folder) if journal else None
        self._appending = threading.Lock()  # a row is in the queue and in the journal's segment, or in neither
        self._thread = threading.Thread(target=self._run, name=f"log-{folder.name}", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Row]) -> bool:
        """Takes rows, all or none; False if queue or disk is full and they were dropped."""
        with self._appending:
            if self._queue.full():
                self._fail(len(rows), "the queue is full")
                return False
            try:
                if self._journal:
                    self._journal.append(rows)
            except OSError as error:
                self._fail(len(rows), str(error))
                return False
            self._queue.put_nowait(rows)
        return True

    def close(self) -> None:
        """Writes what is queued and stops."""
        self._queue.put(_END)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        if self._journal:
            self._recover()
        ended = False
        while not ended:
            rows, ended = self._next_batch()
            more, segment = self._turn()
            if not rows and not more:
                continue
            failed_before = self._failing
            if self._write(rows + more):
                if segment:
                    segment.unlink(missing_ok=True)
                if self._journal and failed_before:
                    self._recover()  # what could not be written meanwhile

    def _recover(self) -> None:
        """Writes what was accepted and never written: by processes that were killed, or while the disk was full."""
        try:
            for segment, rows in orphans(self._folder, self._schema):
                if not rows or self._write(list(rows)):
                    segment.unlink(missing_ok=True)
                    logger.warning("%s: %d accepted rows were written from a journal", self._folder, len(rows))
        except OSError as error:  # the segments stay for the next start; this one must go on
            logger.error("%s: what another process left cannot be taken over: %s", self._folder, error)

    def _turn(self) -> tuple[list[Row], Path | None]:
        """The rest of the queue, and the segment that holds just this batch."""
        if not self._journal:
            return [], None
        with self._appending:
            rows: list[Row] = []
            while not self._queue.empty():
                more = self._queue.get_nowait()
                if more is _END:
                    self._queue.put_nowait(_END)
                    break
                rows += more
            return rows, self._journal.turn()

    def _next_batch(self) -> tuple[list[Row], bool]:
        """Waits for a first row, then collects until a file is full or the first row has waited long enough."""
        first = self._queue.get()
        if first is _END:
            return [], True
        rows = [*first]
        deadline = time.monotonic() + self._max_seconds
        while len(rows) < self._max_rows and (left := deadline - time.monotonic()) > 0:
            try:
                more = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if more is _END:
                return rows, True
            rows += more
        return rows, False

    def _write(self, rows: list[Row]) -> bool:
        file = self._taking(len(rows)) or self._begin()
        temporary = self._folder / f".{file.name}.tmp"
        try:
            added = pa.Table.from_pylist(rows, schema=self._schema)
            table = pa.concat_tables([file.table, added]).combine_chunks()  # many small pieces are slow to write
            self._folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, temporary)
            if self._journal:  # a loss of power must not take with it what was safe in the file before
                _sync(temporary)
            temporary.replace(self._folder / file.name)
        except (OSError, pa.ArrowException) as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._fail(len(rows), str(error), outcome="delayed" if self._journal else "dropped")
            return False
        self._open = replace(file, table=table)
        self._count("written", len(rows))
        if self._failing:
            self._failing = False
            logger.warning("%s is written again", self._folder)
        return True

    def _taking(self, num_rows: int) -> "_Open | None":
        """The newest file, if it is not old and has room."""
        file = self._open
        if file is None or time.monotonic() - file.begun_at >= FILE_S:
            return None
        return file if file.table.num_rows + num_rows <= self._max_rows else None

    def _begin(self) -> "_Open":
        now = datetime.now(UTC)
        if self._keep is not None:
            self._remove_before(now - self._keep)
        name = f"{now:{NAMED}}-{uuid.uuid4().hex[:6]}.parquet"
        return _Open(name, time.monotonic(), self._schema.empty_table())

    def _remove_before(self, oldest: datetime) -> None:
        """Also what a killed process was writing. Files of a name that this log did not give stay."""
        for path in [*self._folder.glob("[!.]*.parquet"), *self._folder.glob(".*.parquet.tmp")]:
            with suppress(ValueError, OSError):
                begun = datetime.strptime(path.name.removeprefix(".").rsplit("-", 1)[0], NAMED)
                if begun.replace(tzinfo=UTC) < oldest:
                    path.unlink()

    def _fail(self, num_rows: int, why: str, *, outcome: str = "dropped") -> None:
        self._count(outcome, num_rows)
        if not self._failing:
            self._failing = True
            logger.error("%s cannot be written (%s); rows are counted until it can", self._folder, why)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
