"""Turns what kfp's local runner prints into events, and keeps one log file a step.

kfp has no callback for the local runner; it logs `Executing task 'x'` and the like to stdout, between the lines of the
steps themselves. The messages are those of the pinned kfp, and a test holds them.
"""

import io
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"Executing task '([^']+)'")
CACHED = re.compile(r"Task ([\w-]+) cache hit")
ENDED = re.compile(r"Task '([^']+)' finished with status (SUCCESS|FAILURE)")
NOISE = re.compile(r"\[KFP Executor |^Streamed logs|^[\s{}\[\],]*$|^\s*\"|- INFO - ")
TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step started, was served from the cache, said a line, or ended."""

    step: str
    kind: Literal["started", "cached", "line", "done", "failed"]
    text: str = ""


class RunLog(io.TextIOBase):
    """A text stream to put in place of stdout while kfp runs."""

    def __init__(self, folder: Path, notify: Callable[[StepEvent], None]) -> None:
        self.folder = folder
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)  # newest lines of the step that runs or ran last
        self.failed: str | None = None
        self._notify = notify
        self._step: str | None = None
        self._rest = ""
        folder.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = (folder / "pipeline.log").open("a")

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._read(ANSI.sub("", line))
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _read(self, line: str) -> None:
        if match := CACHED.search(line):
            self._notify(StepEvent(match[1], "cached"))
        elif match := STARTED.search(line):
            self._begin(match[1])
        elif match := ENDED.search(line):
            self._end(match[1], failed=match[2] == "FAILURE")
        elif self._step is not None and line.strip() and not NOISE.search(line):
            self.tail.append(line.removeprefix("    "))  # kfp indents what a step prints
            self._notify(StepEvent(self._step, "line", line.strip()))
        self._file.write(line + "\n")
        self._file.flush()

    def _begin(self, step: str) -> None:
        self._step = step
        self.tail.clear()
        self._file.close()
        self._file = (self.folder / f"{step}.log").open("a")
        self._notify(StepEvent(step, "started"))

    def _end(self, step: str, *, failed: bool) -> None:
        self._step = None
        if failed:
            self.failed = step
        self._notify(StepEvent(step, "failed" if failed else "done"))
