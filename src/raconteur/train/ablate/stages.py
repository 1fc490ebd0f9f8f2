"""A stage: one folder that a training step or an evaluation writes, and the stages that it is made from.

A stage is named by a key of all settings that decide about it, those of its needs among them, so a folder that is
there is never made twice, and a changed setting changes the keys downstream of it alone. It is written beside its
place, stamped with its seconds and renamed: a stage that is there is finished. Two programs may fill one table; a lock
a stage, which the kernel frees when its holder dies, keeps them from doing the same work.
"""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raconteur.artifacts import MANIFEST, read_manifest, verify, write_json
from raconteur.errors import ArtifactError

Run = Callable[[Path, Path], object]  # where to write, checkpoints
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the work.

    Attributes:
        folder: where it will be; its name ends in the key.
        needs: stages that have to be there first.
        run: writes an artefact (`artifacts.new_folder`) to a path; resumable state goes to a folder of its own.
    """

    name: str
    folder: Path
    needs: tuple["Stage", ...]
    run: Run

    @property
    def done(self) -> bool:
        return (self.folder / MANIFEST).exists()


def stage(name: str, root: Path, settings: Mapping[str, Any], needs: tuple[Stage, ...], run: Run) -> Stage:
    """A stage below `root`, keyed by its settings and its needs."""
    identity = {"name": name, "settings": settings, "needs": [need.folder.name for need in needs]}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return Stage(name, root / f"{name}-{key}", needs, run)


def upstream(last: Stage) -> list[Stage]:
    """All stages that one is made from and itself, each once, needs before what needs them."""
    ordered: dict[Path, Stage] = {}
    for need in last.needs:
        ordered |= {found.folder: found for found in upstream(need)}
    return [*ordered.values(), last]


def bring(last: Stage, say: Say) -> Path:
    """Makes a stage and whatever it lacks; returns its folder.

    Raises:
        ArtifactError: a stage that another is made from was damaged since it was written.
    """
    for step in upstream(last):
        if not step.done:
            with _locked(step, say):
                if not step.done:  # another program may have made it while we waited
                    say(f"{step.name} ...")
                    _make(step)
    return last.folder


def check(made: Stage) -> None:
    """
    Raises:
        ArtifactError: what a stage wrote was changed or cut short since.
    """
    try:
        verify(made.folder)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; delete {made.folder} and run again") from None


def spent(made: Stage) -> dict[str, Any]:
    """Its name and what it took: `seconds` by the clock, `cpu_seconds`; `resumed`: a killed part is not counted."""
    about = read_manifest(made.folder)
    return {name: about[name] for name in ("stage", "seconds", "cpu_seconds", "resumed")}


def _make(step: Stage) -> None:
    for need in step.needs:
        check(need)
    checkpoints = _checkpoints(step)
    resumed = checkpoints.exists()
    unfinished = step.folder.with_name(f".{step.folder.name}.new")
    began, cpu_began = time.monotonic(), time.process_time()
    step.run(unfinished, checkpoints)
    took = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu_began}
    write_json(unfinished / MANIFEST, read_manifest(unfinished) | {"stage": step.name, **took, "resumed": resumed})
    shutil.rmtree(step.folder, ignore_errors=True)  # what is there has no manifest, so it is no finished stage
    unfinished.rename(step.folder)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _checkpoints(step: Stage) -> Path:
    return step.folder.parent / "checkpoints" / step.folder.name


@contextmanager
def _locked(step: Stage, say: Say) -> Iterator[None]:
    path = step.folder.parent / "checkpoints" / f"{step.folder.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{step.name}: another program is at it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
