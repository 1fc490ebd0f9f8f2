"""Programs of the edge are started for real; their status, signals and environment are what is passed on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from raconteur.cli.edges import start, start_or_exit


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes a module `edge` that children find."""

    def write(text: str) -> str:
        (tmp_path / "edge.py").write_text(text)
        return "edge"

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return write


def test_start_status_and_arguments_are_passed(program, capfd):
    module = program("import sys; print(sys.argv[1:]); sys.exit(7)")
    assert start(module, "--user", "a b; rm") == 7
    assert capfd.readouterr().out == "['--user', 'a b; rm']\n"


def test_start_or_exit_failure_ends_with_the_same_status(program):
    with pytest.raises(typer.Exit) as ended:
        start_or_exit(program("raise SystemExit(3)"))
    assert ended.value.exit_code == 3


def test_start_or_exit_killed_program_gives_the_shells_status(program):
    with pytest.raises(typer.Exit) as ended:
        start_or_exit(program("import os; os.kill(os.getpid(), 9)"))
    assert ended.value.exit_code == 128 + 9


def test_start_child_waits_passively(program, capfd, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    start(program("import os; print(os.environ['OMP_WAIT_POLICY'])"))
    assert capfd.readouterr().out == "passive\n"


def test_start_sigterm_reaches_the_child_and_we_wait_for_it(program, tmp_path):
    program(
        "import signal, sys, time, pathlib\n"
        "def stop(*_):\n    pathlib.Path('stopped').touch(); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, stop); pathlib.Path('ready').touch(); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", "import sys; from raconteur.cli.edges import start; sys.exit(start('edge'))"],
        cwd=tmp_path,
        env=dict(os.environ),
    )
    _wait_for(tmp_path / "ready")
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(timeout=30) == 5
    assert (tmp_path / "stopped").exists()


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} was never written")
