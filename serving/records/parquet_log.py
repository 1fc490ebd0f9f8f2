"""A log of rows as Parquet files, written off the request path: a bounded queue and one thread.

Used for predictions and for feedback. Files appear under their final name only when complete. A full queue or disk is
counted, logged once, and never stops the service.
"""

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
_END = None


class ParquetLog:
    """Appends rows to a folder of Parquet files.

    Args:
        max_rows: rows that make a file full.
        max_seconds: a row waits at most this long before it is on disk.
        max_waiting: calls of `append` in the queue; the rows of further ones are dropped and counted.
        count: told `("written" | "dropped", rows)` after each outcome.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        max_rows: int,
        max_seconds: float,
        count: Callable[[str, int], None],
        max_waiting: int = 5000,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._count = count
        self._queue: queue.Queue[Sequence[Row] | None] = queue.Queue(max_waiting)
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"log-{folder.name}", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Row]) -> bool:
        """Takes rows without waiting, all or none; False if the queue is full and they were dropped."""
        try:
            self._queue.put_nowait(rows)
        except queue.Full:
            self._fail(len(rows), "the queue is full")
            return False
        return True

    def close(self) -> None:
        """Writes what is queued and stops."""
        self._queue.put(_END)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        ended = False
        while not ended:
            rows, ended = self._next_batch()
            if rows:
                self._write(rows)

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

    def _write(self, rows: list[Row]) -> None:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:6]}.parquet"
        temporary = self._folder / f".{name}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=self._schema), temporary)
            temporary.replace(self._folder / name)
        except (OSError, pa.ArrowException) as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._fail(len(rows), str(error))
            return
        self._count("written", len(rows))
        if self._failing:
            self._failing = False
            logger.warning("%s is written again", self._folder)

    def _fail(self, num_rows: int, why: str) -> None:
        self._count("dropped", num_rows)
        if not self._failing:
            self._failing = True
            logger.error("%s cannot be written (%s); rows are dropped and counted until it can", self._folder, why)
