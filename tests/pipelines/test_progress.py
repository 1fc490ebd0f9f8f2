import io
import json

from rich.console import Console

from pipelines.progress import RunProgress, minutes, seconds_before
from pipelines.runlog import StepEvent


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def make(before):
    clock, screen = Clock(), io.StringIO()
    console = Console(file=screen, width=200)
    return RunProgress(("a", "b", "c"), before, console=console, clock=clock), clock, screen


def test_progress_time_left_is_this_step_and_those_to_come():
    progress, clock, _ = make({"a": 10.0, "b": 20.0, "c": 30.0})
    progress(StepEvent("a", "started"))
    clock.now_s = 4.0
    assert progress.left("a") == "about 56 s left"  # 6 of a, 20 of b, 30 of c
    progress(StepEvent("a", "done"))
    assert progress.seconds == {"a": 4.0}
    progress(StepEvent("b", "started"))
    assert progress.left("b") == "about 50 s left"


def test_progress_step_that_takes_longer_than_before_is_not_negative():
    progress, clock, _ = make({"a": 10.0, "b": 20.0, "c": 30.0})
    progress(StepEvent("a", "started"))
    clock.now_s = 100.0
    assert progress.left("a") == "about 50 s left"


def test_progress_kept_step_keeps_the_seconds_of_the_run_before():
    progress, _, screen = make({"a": 10.0, "b": 20.0, "c": 30.0})
    progress(StepEvent("a", "cached"))
    progress(StepEvent("c", "started"))  # kfp may take independent steps in another order
    assert progress.seconds == {"a": 10.0}
    assert progress.cached == {"a"}
    assert "step 1 of 3 a kept from an earlier run" in screen.getvalue()
    assert "step 2 of 3 c started, about 50 s left" in screen.getvalue()


def test_seconds_before_file_of_the_run_before_wins_over_the_estimate(tmp_path):
    path = tmp_path / "steps.json"
    assert seconds_before(path, ("prepare",))["prepare"] > 0
    path.write_text(json.dumps([{"step": "prepare", "seconds": 2.5, "metrics": {}}]))
    assert seconds_before(path, ("prepare",)) == {"prepare": 2.5}
    path.write_text("{broken")
    assert seconds_before(path, ("prepare",))["prepare"] > 0


def test_minutes_long_and_short():
    assert minutes(42.4) == "42 s"
    assert minutes(150.0) == "2.5 min"
