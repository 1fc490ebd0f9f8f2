"""What runs on this machine: `<workdir>/serving/stack.json`, written by the supervisor, read by everybody else.

Only the supervisor writes it once it runs, so that nobody undoes what another one noted.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from raconteur.artifacts import write_json
from raconteur.errors import ServingError
from serving.machine.processes import Started

FILE = "stack.json"
SCRATCH = "RACONTEUR_SCRATCH"  # environment: folder for files that end with the service
SCRATCH_PREFIX = "rac-"


@dataclass(frozen=True, slots=True)
class Part:
    """A program of the service: how it is started, where it listens, how to see that it is ready."""

    name: str
    command: tuple[str, ...]
    ports: tuple[int, ...]  # the first one is what people and probes talk to
    ready: str  # answers 200 when the part is ready

    @property
    def address(self) -> str:
        """Of the part for people, without a path."""
        parts = urlsplit(self.ready)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(slots=True)
class Running:
    """A part and what became of it."""

    part: Part
    started: Started | None = None  # the process that runs or ran last
    ready_s: float | None = None  # from the start of that process until it was ready; None: not yet
    restarts: int = 0
    last_exit: str | None = None  # how the process before it ended, or the last one if there is no other


@dataclass(slots=True)
class Stack:
    since: str  # time of the start, ISO 8601, UTC
    scratch: str  # folder for sockets and temporary files, gone after the run
    parts: list[Running] = field(default_factory=list)
    supervisor: Started | None = None
    ready_s: float | None = None  # from the start until all parts were ready for the first time; None: not yet

    def running(self) -> dict[str, Started]:
        """The process of each part that was started, by the part's name."""
        return {one.part.name: one.started for one in self.parts if one.started}


def read_stack(folder: Path) -> Stack | None:
    """
    Args:
        folder: `<workdir>/serving`.

    Returns:
        None if nothing was started, or it was stopped.

    Raises:
        ServingError: the file is not ours or of another version.
    """
    try:
        state = json.loads((folder / FILE).read_text())
        parts = [_running(**one) for one in state.pop("parts")]
        return Stack(**{**state, "parts": parts, "supervisor": _started(state["supervisor"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        path = folder / FILE
        raise ServingError(f"{path} cannot be read ({error!r}); stop the parts by hand, then remove it") from None


def write_stack(folder: Path, stack: Stack) -> None:
    write_json(folder / FILE, asdict(stack))


def forget(folder: Path, stack: Stack) -> None:
    """Removes what the parts left for the time of their run, and the note that they run."""
    if Path(stack.scratch).name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(stack.scratch, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)


def new_scratch() -> str:
    """A new folder under /tmp, whatever TMPDIR says: a path of a Unix socket has 107 characters at most."""
    return tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir="/tmp")


def _running(*, part: dict, started: dict | None, **rest: object) -> Running:
    command, ports = tuple(part["command"]), tuple(part["ports"])
    return Running(Part(**{**part, "command": command, "ports": ports}), started=_started(started), **rest)


def _started(found: dict | None) -> Started | None:
    return None if found is None else Started(**found)
