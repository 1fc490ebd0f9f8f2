"""`python -m serving.stack --config-json FILE up|down|status`: the whole service on one machine.

`up` has a supervisor start recommender, student, Reasoner and dashboard, waits until each is ready, and leaves them
running. What runs stands in `<workdir>/serving/stack.json`, what each part prints in `<workdir>/serving/<part>.log`. A
part that fails to start, Ctrl-C and SIGTERM stop all of them again; one that ends later is started again. `down` stops
what `stack.json` names.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from raconteur.artifacts import Registry
from raconteur.config.schema import Config
from raconteur.errors import ConfigError, RaconteurError, ServingError
from serving.door.access import refuse_unguarded
from serving.machine.parts import parts_of
from serving.machine.processes import STOP_WITHIN_S, Started, refuse_taken_ports, spawn, stop
from serving.machine.state import Part, Running, Stack, forget, new_scratch, read_stack, write_stack
from serving.machine.supervise import answers
from serving.settings import read_config

READY_WITHIN_S = 240.0  # of the whole stack; two slow cores load torch, Feast, Ray and Evidently at once
POLL_S = 0.3
SUPERVISOR = "supervisor"

console = Console(stderr=True, highlight=False, soft_wrap=True)


def up(config: Config, parts: Sequence[Part], *, within_s: float = READY_WITHIN_S) -> None:
    """
    Raises:
        ConfigError: other machines could ask, unasked for or without keys.
        ServingError: the stack runs already, a port is taken, or a part did not become ready.
        ArtifactError: there is no model to serve.
        KeyboardInterrupt: Ctrl-C or SIGTERM came before all was ready.
    """
    refuse_unguarded(config)
    folder = config.workdir / "serving"
    if running := [name for name, one in read_state(folder).items() if one.process()]:
        raise ServingError(f"{', '.join(running)} of {config.workdir} run already; stop them first (down)")
    Registry(config.workdir / "models").champion_folder()
    refuse_taken_ports(config.serve.host, _ports(parts))
    with _interruptions() as stop_if_asked:
        stack = Stack(datetime.now(UTC).isoformat(), new_scratch(), [Running(part) for part in parts])
        write_stack(folder, stack)
        supervisor = None
        try:
            supervisor = _start_supervisor(folder)
            _wait_until_ready(folder, supervisor, within_s=within_s, stop_if_asked=stop_if_asked)
        except BaseException:
            console.print("stopping what was started")
            _take_down(folder, supervisor)
            raise
    for part in parts:
        console.print(f"{part.name:<12} {part.address}")


def down(config: Config) -> None:
    """Stops what `up` started; nothing to stop is no error."""
    folder = config.workdir / "serving"
    stack = read_stack(folder)
    if stack is None:
        console.print(f"nothing of {config.workdir} runs")
        return
    _take_down(folder, stack.supervisor)
    console.print(f"stopped {', '.join(stack.running())}")


def status(config: Config, parts: Sequence[Part]) -> bool:
    """Prints a line for each part; True if all are ready."""
    stack = read_stack(config.workdir / "serving")
    known = {one.part.name: one for one in stack.parts} if stack else {}
    states = {part.name: _state(part, known.get(part.name)) for part in parts}
    for part in parts:
        address = part.address
        console.print(f"{part.name:<12} {states[part.name]:<9} {address}{_past(known.get(part.name))}")
    if stack and (stack.supervisor is None or stack.supervisor.process() is None):
        console.print(f"{SUPERVISOR:<12} ended     nothing is started again; take the service down and up")
    return set(states.values()) == {"ready"}


def read_state(folder: Path) -> dict[str, Started]:
    """The parts that `up` started last, by name; empty if nothing was or it was stopped."""
    stack = read_stack(folder)
    return stack.running() if stack else {}


@contextmanager
def _interruptions() -> Iterator[Callable[[], None]]:
    """Yields a function that raises if Ctrl-C or SIGTERM came: asked for between steps, so that no step is cut in two.

    Raised where it comes, it could hit between the start of a process and the note that it was started.
    """
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: asked.set()) for number in numbers]

    def stop_if_asked() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    try:
        yield stop_if_asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _start_supervisor(folder: Path) -> Started:
    command = (sys.executable, "-m", "serving.machine.supervise", "--folder", str(folder))
    return Started.of(spawn(command, log=_log(folder, SUPERVISOR), environment={}).pid)


def _wait_until_ready(folder: Path, supervisor: Started, *, within_s: float, stop_if_asked: Callable[[], None]) -> None:
    began = time.monotonic()
    told: set[str] = set()
    with console.status("") as line:
        while True:
            stop_if_asked()
            alive = supervisor.process() is not None
            stack = read_stack(folder)
            if stack is None or not alive:
                raise ServingError(f"the supervisor ended\n{_last_words(folder, SUPERVISOR)}")
            _refuse_ended(stack, folder)
            for one in stack.parts:
                if one.ready_s is not None and one.part.name not in told:
                    told.add(one.part.name)
                    console.print(f"{one.part.name} is ready after {one.ready_s:.1f} s")
            if stack.ready_s is not None:
                return
            waiting = [one.part.name for one in stack.parts if one.ready_s is None]
            spent_s, names = time.monotonic() - began, ", ".join(waiting)
            if spent_s > within_s:
                raise ServingError(f"not ready after {within_s:g} s: {names}\n{_last_words(folder, waiting[0])}")
            line.update(f"waiting for {names}: {spent_s:.0f} s of at most {within_s:g} s")
            time.sleep(POLL_S)


def _refuse_ended(stack: Stack, folder: Path) -> None:
    for one in stack.parts:
        if one.last_exit is not None and one.restarts == 0 and one.ready_s is None:
            name = one.part.name
            raise ServingError(f"{name} ended while it started, with {one.last_exit}\n{_last_words(folder, name)}")


def _take_down(folder: Path, supervisor: Started | None) -> None:
    """Has the supervisor stop everything; what it left, as it was killed perhaps, is stopped here."""
    if supervisor:
        stop([supervisor], within_s=STOP_WITHIN_S + 15.0)
    if stack := read_stack(folder):
        stop(list(stack.running().values()))
        forget(folder, stack)


def _state(part: Part, running: Running | None) -> str:
    if running is None or running.started is None:
        return "stopped"
    if running.started.process() is None:
        return "ended"
    return "ready" if answers(part.ready) else "not ready"


def _past(running: Running | None) -> str:
    if running is None or running.last_exit is None:
        return ""
    times = "once" if running.restarts == 1 else f"{running.restarts} times"
    return f"  restarted {times}, last end: {running.last_exit}"


def _last_words(folder: Path, name: str) -> str:
    """The end of a part's log, which says why it failed."""
    path = _log(folder, name)
    with suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return "\n".join([f"the end of {path}:", *(f"  {line}" for line in lines[-12:])])
    return f"{path} cannot be read"


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


def _ports(parts: Sequence[Part]) -> dict[int, str]:
    wanted: dict[int, str] = {}
    for part in parts:
        for port in part.ports:
            if port in wanted:
                raise ConfigError(f"port {port} is meant for {wanted[port]} and {part.name}; change one in the config")
            wanted[port] = part.name
    return wanted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.stack", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config-json", type=Path, required=True, help="a resolved config")
    parser.add_argument("verb", choices=("up", "down", "status"))
    options = parser.parse_args()
    try:
        config = read_config(options.config_json)
        parts = parts_of(config, options.config_json.resolve())
        if options.verb == "up":
            up(config, parts)
        elif options.verb == "down":
            down(config)
        else:
            return 0 if status(config, parts) else 1
    except (RaconteurError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
