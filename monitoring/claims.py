"""Who handles a cause: one claim file for each, taken by one process only.

`causes/<cause>.json` says who runs the retraining, how it went and what the gate said. The file is made with O_EXCL and
under a lock, since a claim of a crashed or interrupted run may be taken over. A finished or failed claim is
never taken over: remove the file to start the same cause again.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import psutil
from pydantic import ValidationError

from monitoring.decision import Record
from raconteur import artifacts
from raconteur.errors import DataError

State = Literal["running", "finished", "failed", "interrupted"]


class Process(Record):
    pid: int
    started: float  # seconds since the epoch; a reused pid has another


class Claim(Record):
    """One retraining: written when it starts and again when it ends."""

    cause: str
    run_id: str
    state: State
    host: str
    processes: tuple[Process, ...]  # who waits and what runs; the run has crashed when none of them lives
    started: datetime
    deadline: datetime  # the run is ended then; a claim of another host counts as crashed after it
    log: str
    took_over: str | None = None  # run id of the crashed run
    ended: datetime | None = None
    exit_code: int | None = None
    champion_before: str | None = None
    champion_after: str | None = None
    gate: dict | None = None  # the gate's record of the last version that the run made


def take(cause: str, *, causes: Path, timeout_s: float, champion: str | None = None) -> tuple[Claim, bool]:
    """Claims a cause for this process, or gives the claim that stands.

    Returns:
        The claim that now stands, and whether it is this call's.
    """
    path = _path(causes, cause)
    with _locked(causes):
        standing = read_claim(path) if path.exists() else None
        if standing is not None and not _crashed(standing):
            return standing, False
        claim = _new_claim(cause, causes, timeout_s=timeout_s, champion=champion, after=standing)
        if standing is not None:
            path.rename(path.with_name(f"{cause}.{standing.run_id}.crashed"))
        with path.open("x") as file:  # O_EXCL: two writers without a lock (a network disk) still make one claim
            file.write(json.dumps(claim.model_dump(mode="json"), indent=2))
            file.flush()
            os.fsync(file.fileno())
    return claim, True


def read_claim(path: Path) -> Claim:
    try:
        return Claim.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is no claim of a retraining: {error}; look at it, then remove it") from None


def _new_claim(cause: str, causes: Path, *, timeout_s: float, champion: str | None, after: Claim | None) -> Claim:
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}"
    return Claim(
        cause=cause,
        run_id=run_id,
        state="running",
        host=socket.gethostname(),
        processes=(identity(os.getpid()),),
        started=now,
        deadline=now + timedelta(seconds=timeout_s),
        log=str(causes / f"{cause}.{run_id}.log"),
        took_over=after.run_id if after else None,
        champion_before=champion,
    )


def _crashed(claim: Claim) -> bool:
    if claim.state != "running":
        return claim.state == "interrupted"
    if claim.host != socket.gethostname():
        return datetime.now(UTC) > claim.deadline
    return not any(_lives(process) for process in claim.processes)


def identity(pid: int) -> Process:
    return Process(pid=pid, started=psutil.Process(pid).create_time())


def _lives(known: Process) -> bool:
    try:
        process = psutil.Process(known.pid)
        return process.create_time() == known.started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def write_claim(causes: Path, claim: Claim) -> None:
    artifacts.write_json(_path(causes, claim.cause), claim.model_dump(mode="json"))


def _path(causes: Path, cause: str) -> Path:
    return causes / f"{cause}.json"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
