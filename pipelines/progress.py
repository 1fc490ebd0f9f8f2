"""Shows a run: step i of n, time so far, time left from the run before, and the newest line of the running step."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.runlog import StepEvent

# Seconds of the demo on two cores: what the first run of a folder is held against.
FIRST_RUN_S = {
    "prepare": 8.0,
    "features": 25.0,
    "retriever": 75.0,
    "fuse": 40.0,
    "reasoner": 200.0,
    "verbalizer": 480.0,
    "tune": 120.0,
    "narrate": 80.0,
    "teach": 30.0,
    "distil": 30.0,
    "quantise": 40.0,
    "ask": 120.0,
    "calibrate": 5.0,
    "evaluate": 70.0,
    "release": 5.0,
}


class RunProgress:
    """Listens to a run's events; a context manager while it draws."""

    def __init__(
        self,
        steps: Sequence[str],
        before: Mapping[str, float],
        *,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self.cached: set[str] = set()
        self._steps, self._before = tuple(steps), before
        self._console, self._clock = console, clock
        self._began = clock()
        self._seen: list[str] = []
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[line]}"),
            console=console,
            redirect_stdout=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=self._total(), left="", line="")

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, event: StepEvent) -> None:
        if event.kind == "started":
            self._began = self._clock()
            self._draw(event.step, line="")
            if not self._console.is_terminal:
                self._console.print(f"{self._place(event.step)} started, {self.left(event.step)}", highlight=False)
        elif event.kind == "line":
            self._draw(event.step, line=escape(event.text[:80]))
        else:
            self._end(event)

    def left(self, step: str) -> str:
        """The time that the run still takes, as text; the seconds of each step are those of the run before."""
        running_s = 0.0 if step in self.seconds else self._clock() - self._began
        coming_s = sum(self._before.get(name, 0.0) for name in self._steps if name not in {step, *self.seconds})
        this_s = 0.0 if step in self.seconds else max(self._before.get(step, 0.0) - running_s, 0.0)
        return f"about {minutes(this_s + coming_s)} left"

    def _end(self, event: StepEvent) -> None:
        if event.kind == "cached":
            self.cached.add(event.step)
            self.seconds[event.step] = self._before.get(event.step, 0.0)
            self._console.print(f"{self._place(event.step)} kept from an earlier run", highlight=False)
        else:
            self.seconds[event.step] = self._clock() - self._began
            outcome = "[red]failed[/red] after" if event.kind == "failed" else "took"
            took = minutes(self.seconds[event.step])
            self._console.print(f"{self._place(event.step)} {outcome} {took}", highlight=False)
        self._began = self._clock()
        self._draw(event.step, line="")

    def _draw(self, step: str, *, line: str) -> None:
        finished = sum(self._before.get(name, 0.0) for name in self.seconds)
        running = 0.0 if step in self.seconds else min(self._clock() - self._began, self._before.get(step, 0.0))
        self._bar.update(
            self._task, description=self._place(step), completed=finished + running, left=self.left(step), line=line
        )

    def _place(self, step: str) -> str:
        """Kfp may order independent steps as it likes, so a step's number is the order in which it came up."""
        if step not in self._seen:
            self._seen.append(step)
        return f"step {self._seen.index(step) + 1} of {len(self._steps)} [bold]{step}[/bold]"

    def _total(self) -> float:
        return sum(self._before.get(name, 0.0) for name in self._steps) or 1.0


def seconds_before(path: Path, steps: Sequence[str]) -> dict[str, float]:
    """Seconds of each step in the `steps.json` of the run before; the demo's where there is none."""
    known = {name: FIRST_RUN_S.get(name, 10.0) for name in steps}
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        return {**known, **{row["step"]: float(row["seconds"]) for row in rows}}
    except (OSError, ValueError, KeyError, TypeError):
        return known  # an estimate is never worth a failed run


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
