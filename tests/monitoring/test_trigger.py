import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from monitoring.claims import read_claim
from monitoring.trigger import start_once
from raconteur import artifacts
from raconteur.errors import PipelineError

COUNT = "import sys, time; open(sys.argv[1], 'a').write('ran\\n'); print('training'); time.sleep(1)"
START = (
    "import sys; from pathlib import Path; from monitoring.trigger import start_once; root = Path(sys.argv[1])\n"
    "claim, ours = start_once([sys.executable, '-c', sys.argv[2], sys.argv[3]], 'drift-1', causes=root / 'causes',"
    " models=root / 'models', timeout_s=60)\n"
    "print(claim.run_id, claim.state, ours)"
)


def start(tmp_path: Path, command: list[str], *, timeout_s: float = 30.0):
    causes, models = tmp_path / "causes", tmp_path / "models"
    return start_once(command, "drift-1", causes=causes, models=models, timeout_s=timeout_s)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("did not happen within a minute")


def counting(tmp_path: Path) -> list[str]:
    return [sys.executable, "-c", COUNT.replace("time.sleep(1)", "0"), str(tmp_path / "runs.txt")]


def test_start_once_second_call_starts_nothing_and_names_the_first(tmp_path: Path):
    first, ours = start(tmp_path, counting(tmp_path))
    assert (first.state, first.exit_code, ours) == ("finished", 0, True)
    assert Path(first.log).read_text() == "training\n"
    second, ours = start(tmp_path, counting(tmp_path))
    assert (second, ours) == (first, False)
    assert (tmp_path / "runs.txt").read_text() == "ran\n"


def test_start_once_two_processes_at_once_run_one(tmp_path: Path):
    arguments = [sys.executable, "-c", START, str(tmp_path), COUNT, str(tmp_path / "runs.txt")]
    both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].split() for process in both]
    assert (tmp_path / "runs.txt").read_text() == "ran\n"
    assert said[0][0] == said[1][0]
    assert sorted(line[2] for line in said) == ["False", "True"]


def test_start_once_failed_run_is_kept_and_not_started_again(tmp_path: Path):
    claim, ours = start(tmp_path, [sys.executable, "-c", "import sys; sys.exit(3)"])
    assert (claim.state, claim.exit_code, ours) == ("failed", 3, True)
    again, ours = start(tmp_path, counting(tmp_path))
    assert (again.state, ours) == ("failed", False)


def test_start_once_command_that_is_no_program_fails_and_says_so(tmp_path: Path):
    with pytest.raises(PipelineError, match="does not start"):
        start(tmp_path, [str(tmp_path / "nothing-here")])
    assert read_claim(tmp_path / "causes" / "drift-1.json").state == "failed"


def test_start_once_overlong_run_is_ended_with_its_children(tmp_path: Path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    claim, _ = start(tmp_path, [sys.executable, "-c", child], timeout_s=0.5)
    assert (claim.state, claim.exit_code) == ("failed", None)


def test_start_once_records_swap_and_gate(tmp_path: Path):
    registry = artifacts.Registry(tmp_path / "models")
    for version in ("v1", "v2"):
        with artifacts.new_folder(registry.folder(version), kind="version") as folder:
            if version == "v1":
                (folder / "gate.json").write_text('{"reason": "an old one"}')
    registry.promote("v1", cause="first")
    os.utime(registry.folder("v1") / "gate.json", (0, 0))
    promote = (
        "import sys; from pathlib import Path; from raconteur.artifacts import Registry; root = Path(sys.argv[1])\n"
        "Registry(root).promote('v2', cause='drift-1'); "
        "(root / 'v2' / 'gate.json').write_text('{\"reason\": \"better\"}')"
    )
    claim, _ = start(tmp_path, [sys.executable, "-c", promote, str(registry.root)])
    assert (claim.champion_before, claim.champion_after) == ("v1", "v2")
    assert claim.gate == {"reason": "better"}


def test_start_once_killed_caller_blocks_until_its_run_is_gone_too(tmp_path: Path):
    # A program that a shell starts in the background is told to ignore SIGINT, and its children after it.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    arguments = [sys.executable, "-c", listening + START, str(tmp_path), "import time; time.sleep(600)", "-"]
    killed = subprocess.Popen(arguments)
    path = tmp_path / "causes" / "drift-1.json"
    wait_until(lambda: path.exists() and len(read_claim(path).processes) == 2)
    run = psutil.Process(read_claim(path).processes[1].pid)
    killed.kill()
    killed.wait()
    assert start(tmp_path, counting(tmp_path))[1] is False
    run.kill()
    wait_until(lambda: not run.is_running() or run.status() == psutil.STATUS_ZOMBIE)
    claim, ours = start(tmp_path, counting(tmp_path))
    assert (claim.state, ours) == ("finished", True)
    assert claim.took_over is not None


def test_start_once_interrupted_run_is_stopped_and_may_be_taken_over(tmp_path: Path):
    # A program that a shell starts in the background is told to ignore SIGINT, and its children after it.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    arguments = [sys.executable, "-c", listening + START, str(tmp_path), "import time; time.sleep(600)", "-"]
    caller = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    path = tmp_path / "causes" / "drift-1.json"
    wait_until(lambda: path.exists() and len(read_claim(path).processes) == 2)
    caller.send_signal(signal.SIGINT)
    caller.wait(timeout=60)
    stopped = read_claim(path)
    assert stopped.state == "interrupted"
    assert not psutil.pid_exists(stopped.processes[1].pid)
    claim, ours = start(tmp_path, counting(tmp_path))
    assert (claim.state, claim.took_over, ours) == ("finished", stopped.run_id, True)
