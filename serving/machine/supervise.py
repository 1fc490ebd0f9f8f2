"""`python -m serving.machine.supervise --folder DIR`: keeps the parts of a stack running until SIGTERM stops them all.

Started by `serving.stack up`, which names the parts in `stack.json`. A part that ends is started again: after a second,
and after twice as long each time it ends again, a minute at most; a minute of good health and that is forgotten. One
that was never ready is not: `up` then says why and takes everything down. One that was ready and then answers nothing,
not even that it is not ready, for half a minute or more hangs: it is killed, and starts again. Ray starts its own
replica again; here are the programs. What was done stands in `supervisor.log`, how things are in `stack.json`.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from raconteur.errors import ServingError
from serving.machine.processes import Started, spawn, stop
from serving.machine.state import SCRATCH, Running, Stack, forget, read_stack, write_stack

POLL_S = 0.3
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
HEALTHY_S = 60.0  # a part that ran for this long starts over with the first pause
LISTEN_S = 5.0  # between looks at whether a ready part still answers, and what each is given for it
MAX_SILENT = 6  # such looks in a row without an answer, after which a part hangs
# Processes share the cores: OpenMP that spins while it waits made torch many times slower here. Few heaps for malloc:
# each thread would get one of its own, and what it frees stays there.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
}

WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the parts are on this machine

logger = logging.getLogger("supervisor")


def pause_s(num_failures: int) -> float:
    """Seconds before a part is started again that ended so many times in a row."""
    return min(FIRST_PAUSE_S * 2.0 ** (num_failures - 1), MAX_PAUSE_S)


@dataclass(slots=True)
class Watched:
    """A part as its supervisor knows it; times are seconds of the monotonic clock."""

    running: Running
    process: subprocess.Popen[bytes] | None = None  # None: it ended
    started_at: float = 0.0
    due_at: float | None = None  # when it is to be started again
    was_ready: bool = False  # once, since the stack was started
    num_failures: int = 0  # in a row
    listened_at: float = 0.0
    num_silent: int = 0  # looks in a row that it did not answer

    @property
    def name(self) -> str:
        return self.running.part.name


class Supervisor:
    """
    Args:
        folder: `<workdir>/serving`.
        stack: with the parts to start.
    """

    def __init__(self, folder: Path, stack: Stack) -> None:
        self._folder = folder
        self._stack = stack
        self._watched = [Watched(running) for running in stack.parts]
        self._environment = {**ENVIRONMENT, SCRATCH: stack.scratch, "TMPDIR": stack.scratch}
        self._began_at = time.monotonic()

    def start(self) -> None:
        for one in self._watched:
            self._start(one)

    def look(self) -> None:
        """Looks at every part once, and starts again what is due."""
        now = time.monotonic()
        for one in self._watched:
            if one.process is not None and (code := one.process.poll()) is not None:
                self._note_end(one, code, now)
            elif one.process is not None and one.running.ready_s is None and answers(one.running.part.ready):
                self._note_ready(one, now)
            elif one.running.ready_s is not None and now - one.listened_at >= LISTEN_S:
                self._listen(one, now)
            elif one.due_at is not None and now >= one.due_at:
                self._start_again(one, now)

    def stop(self) -> None:
        logger.info("told to end")
        stop(list(self._stack.running().values()))
        forget(self._folder, self._stack)
        logger.info("stopped all")

    def _listen(self, one: Watched, now: float) -> None:
        one.listened_at = now
        one.num_silent = 0 if responds(one.running.part.ready) else one.num_silent + 1
        if one.num_silent >= MAX_SILENT and one.process is not None:
            logger.error("%s runs and answers nothing: it hangs, and is killed", one.name)
            one.process.kill()  # what it started goes when it is started again

    def _start_again(self, one: Watched, now: float) -> None:
        if one.running.started:
            stop([one.running.started])  # what it started may outlive it, and hold its ports
        one.running.restarts += 1
        try:
            self._start(one)
        except OSError as error:  # the machine has no room for it now
            one.num_failures += 1
            one.due_at = now + pause_s(one.num_failures)
            logger.error("%s cannot be started (%s); tried again in %g s", one.name, error, one.due_at - now)

    def _start(self, one: Watched) -> None:
        log = self._folder / f"{one.name}.log"
        one.process = spawn(one.running.part.command, log=log, environment=self._environment)
        one.started_at, one.due_at, one.running.ready_s = time.monotonic(), None, None
        one.num_silent = 0
        one.running.started = Started.of(one.process.pid)
        logger.info("%s started, pid %d", one.name, one.process.pid)
        self._save()

    def _note_end(self, one: Watched, code: int, now: float) -> None:
        one.process, one.running.ready_s, one.running.last_exit = None, None, said(code)
        if one.was_ready:
            one.num_failures = 1 if now - one.started_at >= HEALTHY_S else one.num_failures + 1
            one.due_at = now + pause_s(one.num_failures)
            logger.warning("%s ended with %s; starts again in %g s", one.name, said(code), one.due_at - now)
        else:
            logger.error("%s ended with %s before it was ever ready", one.name, said(code))
        self._save()

    def _note_ready(self, one: Watched, now: float) -> None:
        one.was_ready, one.running.ready_s = True, round(now - one.started_at, 1)
        logger.info("%s is ready after %.1f s", one.name, one.running.ready_s)
        if self._stack.ready_s is None and all(one.was_ready for one in self._watched):
            self._stack.ready_s = round(now - self._began_at, 1)
            logger.info("all parts are ready after %.1f s", self._stack.ready_s)
        self._save()

    def _save(self) -> None:
        try:
            write_stack(self._folder, self._stack)
        except OSError as error:  # a full disk ends no service
            logger.error("stack.json is not up to date: %s", error)


def answers(url: str) -> bool:
    """Whether a part says that it is ready."""
    with suppress(OSError, HTTPException), WITHOUT_PROXY.open(url, timeout=2.0) as answer:
        return bool(answer.status == 200)
    return False


def responds(url: str) -> bool:
    """Whether a part answers anything at all, be it that it is not ready."""
    try:
        with WITHOUT_PROXY.open(url, timeout=LISTEN_S):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, HTTPException):
        return False


def said(code: int) -> str:
    """How a process ended, in words; a negative code is a signal."""
    return f"status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def supervise(folder: Path) -> None:
    """
    Raises:
        ServingError: there is no stack to supervise.
    """
    told_to_end = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is answered by `down`
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    stack = read_stack(folder)
    if stack is None:
        raise ServingError(f"{folder} names no stack; start it with `raconteur serve`")
    stack.supervisor = Started.of(os.getpid())
    supervisor = Supervisor(folder, stack)
    try:
        supervisor.start()
        while not told_to_end.wait(POLL_S):
            supervisor.look()
    finally:
        supervisor.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.machine.supervise")
    parser.add_argument("--folder", type=Path, required=True, help="holds stack.json")
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    supervise(parser.parse_args().folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
