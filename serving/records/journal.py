"""A journal of rows that were accepted and are not in a Parquet file yet, so that a killed process loses none.

Rows go to the current segment, a file of JSON lines, before their acceptance is told to anybody. Who writes Parquet
begins a new segment first and removes the old one afterwards. Segments without a living owner are read at the next
start. What the operating system was told survives the process, not a loss of power.
"""

import fcntl
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

Row = Mapping[str, Any]
PREFIX, SUFFIX = ".journal-", ".jsonl"

logger = logging.getLogger(__name__)


class Journal:
    """Segments in a folder; one owner each, which holds its lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._file: int | None = None

    def append(self, rows: Sequence[Row]) -> None:
        """
        Raises:
            OSError: the rows are not kept; none of them counts as written.
        """
        if self._file is None:
            self._begin()
        assert self._file is not None
        size = os.fstat(self._file).st_size
        lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        try:
            written = os.write(self._file, lines)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        if written < len(lines):
            os.ftruncate(self._file, size)
            raise OSError(f"only {written} of {len(lines)} bytes could be written to {self._folder}")

    def turn(self) -> Path | None:
        """Ends the current segment and gives its path; None if it holds nothing."""
        path, file = self._path, self._file
        self._path = self._file = None
        if file is not None:
            os.close(file)
        return path

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{PREFIX}{uuid.uuid4().hex}{SUFFIX}"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._path, self._file = path, file


def orphans(folder: Path, schema: pa.Schema) -> Iterator[tuple[Path, list[Row]]]:
    """Segments whose owner is gone, with their rows; a line that was cut off was never accepted and is left out.

    A line that cannot be read any more (a damaged disk) is set aside in a file beside the segment, ending in `.bad`.

    Raises:
        OSError: a segment cannot be read, or its bad lines cannot be set aside.
    """
    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rows, bad = [], []
            for line in file.read().split(b"\n")[:-1]:
                try:
                    rows.append(_row(line, schema))
                except (ValueError, TypeError):
                    bad.append(line)
            if bad:
                path.with_suffix(".bad").write_bytes(b"\n".join(bad) + b"\n")
                logger.error("%s: %d lines cannot be read and are set aside in a .bad file", path, len(bad))
            yield path, rows


def _row(line: bytes, schema: pa.Schema) -> Row:
    """A row as it was appended: JSON keeps times as text.

    Raises:
        ValueError, TypeError: the line is no row.
    """
    row = orjson.loads(line)
    if not isinstance(row, dict):
        raise TypeError(f"{type(row).__name__} is no row")
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    return {**row, **{name: datetime.fromisoformat(row[name]) for name in times if row.get(name) is not None}}
