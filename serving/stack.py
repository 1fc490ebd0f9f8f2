"""`python -m serving.stack --config-json FILE up|down|status`: the whole service on one machine.

`up` starts student, Reasoner, recommender and dashboard, waits until each is ready, and leaves them running; what runs
is written to `<workdir>/serving/stack.json`, the output of each part to `<workdir>/serving/<part>.log`. A part that
fails to start, Ctrl-C and SIGTERM stop all of them again. `down` stops what `stack.json` names.
"""

import argparse
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import httpx
from rich.console import Console

from raconteur.artifacts import Registry, write_json
from raconteur.config.schema import Config
from raconteur.errors import ConfigError, RaconteurError, ServingError
from serving.machine.local_ray import SCRATCH, SCRATCH_PREFIX, new_scratch
from serving.machine.parts import Part, parts_of
from serving.machine.processes import Started, refuse_taken_ports, start, stop
from serving.settings import read_config

READY_WITHIN_S = 240.0  # of the whole stack; two slow cores load torch, Feast, Ray and Evidently at once
POLL_S = 0.3
# Processes share the cores: OpenMP that spins while it waits made torch many times slower here.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}

console = Console(stderr=True, highlight=False, soft_wrap=True)


def up(config: Config, parts: Sequence[Part], *, within_s: float = READY_WITHIN_S) -> None:
    """
    Raises:
        ServingError: the stack runs already, a port is taken, or a part did not become ready.
        ArtifactError: there is no model to serve.
        KeyboardInterrupt: Ctrl-C or SIGTERM came before all was ready.
    """
    folder = config.workdir / "serving"
    if running := [name for name, one in read_state(folder).items() if one.process()]:
        raise ServingError(f"{', '.join(running)} of {config.workdir} run already; stop them first (down)")
    Registry(config.workdir / "models").champion_folder()
    refuse_taken_ports(config.serve.host, _ports(parts))
    started: dict[str, Started] = {}
    scratch = new_scratch()
    environment = {**ENVIRONMENT, SCRATCH: scratch, "TMPDIR": scratch}
    with _interruptions() as stop_if_asked:
        try:
            for part in parts:
                stop_if_asked()
                started[part.name] = start(part.command, log=_log(folder, part.name), environment=environment)
                _write_state(folder, parts, started, scratch)
            _wait_until_ready(parts, started, folder, within_s=within_s, stop_if_asked=stop_if_asked)
        except BaseException:
            console.print("stopping what was started")
            stop(list(started.values()))
            _forget(folder, scratch)
            raise
    for part in parts:
        console.print(f"{part.name:<12} http://{config.serve.host}:{part.ports[0]}")


def down(config: Config) -> None:
    """Stops what `up` started; nothing to stop is no error."""
    folder = config.workdir / "serving"
    started = read_state(folder)
    stop(list(started.values()))
    if started:
        _forget(folder, json.loads((folder / "stack.json").read_text())["scratch"])
    console.print(f"stopped {', '.join(started)}" if started else f"nothing of {config.workdir} runs")


def status(config: Config, parts: Sequence[Part]) -> bool:
    """Prints a line for each part; True if all are ready."""
    started = read_state(config.workdir / "serving")
    states = {part.name: _state(part, started.get(part.name)) for part in parts}
    for part in parts:
        console.print(f"{part.name:<12} {states[part.name]:<9} http://{config.serve.host}:{part.ports[0]}")
    return set(states.values()) == {"ready"}


def read_state(folder: Path) -> dict[str, Started]:
    """The parts that `up` started last, by name; empty if nothing was or it was stopped."""
    try:
        state = json.loads((folder / "stack.json").read_text())
        return {one["name"]: Started(one["pid"], one["created"]) for one in state["parts"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        path = folder / "stack.json"
        raise ServingError(f"{path} cannot be read ({error!r}); stop the parts by hand, then remove it") from None


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


def _wait_until_ready(
    parts: Sequence[Part],
    started: Mapping[str, Started],
    folder: Path,
    *,
    within_s: float,
    stop_if_asked: Callable[[], None],
) -> None:
    began = time.monotonic()
    waiting = list(parts)
    with console.status("") as line:
        while waiting:
            stop_if_asked()
            spent_s = time.monotonic() - began
            names = ", ".join(part.name for part in waiting)
            if spent_s > within_s:
                raise ServingError(f"not ready after {within_s:g} s: {names}\n{_last_words(folder, waiting[0].name)}")
            line.update(f"waiting for {names}: {spent_s:.0f} s of at most {within_s:g} s")
            for part in list(waiting):
                if started[part.name].process() is None:
                    raise ServingError(f"{part.name} ended while it started\n{_last_words(folder, part.name)}")
                if _answers(part):
                    waiting.remove(part)
                    console.print(f"{part.name} is ready after {time.monotonic() - began:.1f} s")
            time.sleep(POLL_S)


def _answers(part: Part) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(part.ready, timeout=2.0).status_code == 200
    return False


def _state(part: Part, started: Started | None) -> str:
    if started is None:
        return "stopped"
    if started.process() is None:
        return "ended"
    return "ready" if _answers(part) else "not ready"


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


def _forget(folder: Path, scratch: str) -> None:
    """Removes what the parts left for the time of their run, and the note that they run."""
    if Path(scratch).name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
    (folder / "stack.json").unlink(missing_ok=True)


def _write_state(folder: Path, parts: Sequence[Part], started: Mapping[str, Started], scratch: str) -> None:
    rows = [
        {"name": part.name, "ports": part.ports, "ready": part.ready, **asdict(started[part.name])}
        for part in parts
        if part.name in started
    ]
    write_json(folder / "stack.json", {"since": datetime.now(UTC).isoformat(), "scratch": scratch, "parts": rows})


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
