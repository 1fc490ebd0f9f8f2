"""Starts the programs of the edges: pipelines, serving, monitoring.

The core imports no platform SDK, so these run as `python -m ...` in a process of their own; a missing SDK then breaks
only the command that needs it. Ctrl-C reaches the child by the terminal: it stops in its own time and we wait for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from raconteur.threads import PASSIVE


def start(module: str, *arguments: str) -> int:
    """Runs `python -m module` with our terminal and returns its exit status."""
    with subprocess.Popen(command(module, *arguments), env=environment()) as process, _signals_go_to(process):
        return process.wait()


def start_or_exit(module: str, *arguments: str) -> None:
    """Runs a program; where it fails, this program ends with the same status."""
    status = start(module, *arguments)
    if status != 0:
        raise typer.Exit(status if status > 0 else 128 - status)


def command(module: str, *arguments: str) -> Sequence[str]:
    return (sys.executable, "-m", module, *arguments)


def environment() -> dict[str, str]:
    """Ours, with OpenMP threads that sleep while they wait: several processes share the cores."""
    return {**PASSIVE, **os.environ}


@contextmanager
def _signals_go_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM is handed on; SIGINT is ignored here, since the terminal sends it to the whole group."""

    def hand_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
