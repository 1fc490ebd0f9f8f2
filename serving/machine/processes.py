"""Processes of the stack: starting them apart from ours, and stopping them with all that they started."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from raconteur.errors import ServingError

STOP_WITHIN_S = 40.0  # Ray takes its time
# Set by Feast in a process that imports it: a folder for metrics that vanishes with that process.
NOT_INHERITED = frozenset({"PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"})


@dataclass(frozen=True, slots=True)
class Started:
    """A process, by what tells it from a later one with the same number."""

    pid: int
    created: float  # seconds since 1970

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process that runs now, or has ended and nobody asked yet how."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def family(self) -> list[psutil.Process]:
        """The process and all that it started, also those that outlive it: everyone in its session."""
        if self.process() is None and psutil.pid_exists(self.pid) and not _is_zombie(self.pid):
            return []  # the number belongs to someone else by now
        return [process for process in psutil.process_iter() if _session(process.pid) == self.pid]


def spawn(command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, so that a Ctrl-C in our terminal does not reach it."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**inherited, **environment},
        )


def stop(started: Sequence[Started], *, within_s: float = STOP_WITHIN_S) -> None:
    """Asks all to end, waits, and kills what is left of them and of what they started."""
    roots = [process for one in started if (process := one.process())]
    family = {process for one in started for process in one.family()}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root.send_signal(signal.SIGTERM)
    psutil.wait_procs(roots, timeout=within_s)
    _, alive = psutil.wait_procs(family, timeout=2.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5.0)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def refuse_taken_ports(host: str, wanted: Mapping[int, str]) -> None:
    """
    Args:
        wanted: port to the part that needs it.

    Raises:
        ServingError: two parts want one port, or another process listens there; its name and pid are in the message.
    """
    listening = {one.laddr.port: one.pid for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    for port, part in wanted.items():
        if port in listening:
            raise ServingError(
                f"port {port} of {host}, which the {part} needs, is in use by {_name(listening[port])}; "
                f"stop it, or choose another port in the config (section serve)"
            )


def _name(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        return f"{process.name()} (pid {pid}: {' '.join(process.cmdline())[:120]})"
    except psutil.Error:
        return f"pid {pid}"
