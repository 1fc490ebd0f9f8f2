"""kfp's own local runner, for real, on a two-step pipeline: reuse, failure, resumption, the lock."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.local import run_locally
from pipelines.runlog import StepEvent
from raconteur.errors import PipelineError


def _load_tiny():
    spec = importlib.util.spec_from_file_location("tiny_pipeline", Path(__file__).with_name("tiny.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny


tiny = _load_tiny()


class Run:
    """One folder in which the tiny pipeline runs again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pipeline"
        self.runs, self.broken = folder / "runs.txt", folder / "broken"
        self.events: list[StepEvent] = []

    def __call__(self, source: str = "abc"):
        self.events.clear()
        arguments = {"source": source, "runs": str(self.runs), "broken": str(self.broken)}
        return run_locally(tiny, arguments, folder=self.folder, notify=self.events.append)

    def kinds(self) -> list[tuple[str, str]]:
        return [(event.step, event.kind) for event in self.events if event.kind != "line"]

    def executed(self) -> list[str]:
        return self.runs.read_text().split()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_run_first_time_executes_steps_and_hands_out_artefacts(run):
    outputs = run()

    assert run.kinds() == [("count", "started"), ("count", "done"), ("judge", "started"), ("judge", "done")]
    assert Path(outputs["data"].path, "words.txt").read_text() == "abc"
    assert outputs["count"].metadata == {"letters": 3.0}  # a value that is no number is not logged
    assert json.loads(Path(outputs["count"].path).read_text()) == {"letters": 3.0, "undefined": None}
    assert [event.text for event in run.events if event.kind == "line"] == ["judging with care"]


def test_run_again_unchanged_reuses_every_step(run):
    first = run()
    second = run()

    assert run.kinds() == [("count", "cached"), ("judge", "cached")]
    assert run.executed() == ["count", "judge"]
    assert second["judge"].metadata == first["judge"].metadata == {"promoted": 1.0}


def test_run_with_changed_source_executes_it_and_all_that_follows(run):
    run("abc")
    outputs = run("abcd")

    assert run.executed() == ["count", "judge", "count", "judge"]
    assert outputs["count"].metadata == {"letters": 4.0}


def test_run_with_lost_artefact_executes_the_step_again(run):
    outputs = run()
    Path(outputs["data"].path, "words.txt").unlink()
    Path(outputs["data"].path).rmdir()
    run()

    assert run.executed() == ["count", "judge", "count", "judge"]


def test_run_failed_step_raises_with_its_last_lines_and_resumes_when_mended(run):
    run.broken.touch()
    with pytest.raises(
        PipelineError, match=r"step judge failed(?s:.*)judging with care(?s:.*)the loss is nan at step 3"
    ):
        run()
    assert run.kinds()[-1] == ("judge", "failed")
    assert "Traceback" in next(run.folder.glob("logs/*/judge.log")).read_text()

    run.broken.unlink()
    run()
    assert run.kinds() == [("count", "cached"), ("judge", "started"), ("judge", "done")]
    assert run.executed() == ["count", "judge", "judge"]


def test_run_while_another_holds_the_folder_is_refused(run):
    def start_inside(event: StepEvent) -> None:
        with pytest.raises(PipelineError, match="another run uses"):
            run_locally(tiny, {}, folder=run.folder, notify=lambda _: None)

    arguments = {"source": "abc", "runs": str(run.runs), "broken": str(run.broken)}
    run_locally(tiny, arguments, folder=run.folder, notify=start_inside)


def test_run_sigterm_ends_the_step_and_the_next_run_goes_on(run, tmp_path):
    program = (
        "import importlib.util, sys\n"
        "from pathlib import Path\n"
        f"spec = importlib.util.spec_from_file_location('tiny', {str(Path(__file__).with_name('tiny.py'))!r})\n"
        "tiny = importlib.util.module_from_spec(spec); spec.loader.exec_module(tiny)\n"
        "from pipelines.local import run_locally\n"
        f"arguments = {{'pid': {str(tmp_path / 'pid')!r}}}\n"
        f"run_locally(tiny.sleepy, arguments, folder=Path({str(run.folder)!r}), notify=[].append)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        step = _read_when_there(tmp_path / "pid")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    psutil.wait_procs([psutil.Process(step)] if psutil.pid_exists(step) else [], timeout=20)
    assert not psutil.pid_exists(step)
    run()  # the lock went with the process
    assert run.kinds()[-1] == ("judge", "done")


def _read_when_there(path: Path) -> int:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    pytest.fail(f"{path} was never written")
