"""The supervisor over small real programs: what it starts again, how soon, what it notes; `down` has the last word."""

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import replace

import httpx
import pytest
from serving_world import write_version
from waiting import wait_for

from raconteur.config.schema import Config
from serving.machine import supervise
from serving.machine.state import Part, Running, Stack, new_scratch, read_stack, write_stack
from serving.machine.supervise import Supervisor, pause_s, said
from serving.stack import down, status, up

WEB = "import sys; from http.server import *; HTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler)"
WEB += ".serve_forever()"
# Serves from a child, as Ray does: who kills the parent leaves the port taken.
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WEB!r}, sys.argv[1]]).wait()"
BROKEN = "import sys; print('no model here'); sys.exit(3)"


def part(name, port, code=WEB):
    return Part(name, (sys.executable, "-c", code, str(port)), (port,), f"http://127.0.0.1:{port}/")


@pytest.fixture
def supervised(tmp_path, monkeypatch):
    """Starts parts under a supervisor in this process, whose rounds the test turns."""
    monkeypatch.setattr(supervise, "FIRST_PAUSE_S", 0.05)
    with contextlib.ExitStack() as stop_all:

        def run(*parts):
            stack = Stack("now", new_scratch(), [Running(part) for part in parts])
            supervisor = Supervisor(tmp_path, stack)
            stop_all.callback(supervisor.stop)
            supervisor.start()
            return supervisor

        yield run


def test_pause_doubles_up_to_a_minute():
    assert [pause_s(failures) for failures in (1, 2, 3, 6, 7, 50)] == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0]


def test_exit_is_said_in_words():
    assert (said(3), said(-9), said(-15)) == ("status 3", "signal SIGKILL", "signal SIGTERM")


def test_killed_part_is_started_again_and_the_other_one_left_alone(supervised, tmp_path, free_ports, caplog):
    caplog.set_level("INFO", logger="supervisor")
    one, other = free_ports(2)
    supervisor = supervised(part("student", one), part("dashboard", other))
    turn(supervisor, until=lambda: read_stack(tmp_path).ready_s is not None)
    before = read_stack(tmp_path).running()

    os.kill(before["student"].pid, signal.SIGKILL)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].restarts == 1)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].ready_s is not None)

    student, dashboard = read_stack(tmp_path).parts
    assert httpx.get(student.part.ready).status_code == 200
    assert (student.restarts, student.last_exit) == (1, "signal SIGKILL")
    assert student.started.pid != before["student"].pid
    assert (dashboard.restarts, dashboard.last_exit, dashboard.started) == (0, None, before["dashboard"])
    said_of_it = [record.getMessage() for record in caplog.records if "student" in record.getMessage()]
    assert "student ended with signal SIGKILL; starts again in 0.05 s" in said_of_it


def test_child_that_outlives_a_killed_part_gives_the_port_back(supervised, tmp_path, free_ports):
    [port] = free_ports(1)
    supervisor = supervised(part("recommender", port, PARENT))
    turn(supervisor, until=lambda: read_stack(tmp_path).ready_s is not None)
    [child] = read_stack(tmp_path).running()["recommender"].process().children()

    os.kill(read_stack(tmp_path).running()["recommender"].pid, signal.SIGKILL)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].restarts == 1)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].ready_s is not None)
    assert not child.is_running()
    assert read_stack(tmp_path).parts[0].restarts == 1  # the new one found its port free


def test_pause_grows_while_a_part_keeps_ending_and_is_forgotten_once_it_is_healthy(
    supervised, tmp_path, free_ports, caplog, monkeypatch
):
    caplog.set_level("INFO", logger="supervisor")
    supervisor = supervised(part("reasoner", *free_ports(1)))
    turn(supervisor, until=lambda: read_stack(tmp_path).ready_s is not None)
    for restarts in (1, 2, 3):
        os.kill(read_stack(tmp_path).running()["reasoner"].pid, signal.SIGKILL)
        turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].restarts == restarts)  # noqa: B023
    monkeypatch.setattr(supervise, "HEALTHY_S", 0.0)  # what runs now counts as having been healthy for long enough
    os.kill(read_stack(tmp_path).running()["reasoner"].pid, signal.SIGKILL)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].restarts == 4)
    pauses = [record.getMessage().split()[-2] for record in caplog.records if "starts again" in record.getMessage()]
    assert [float(pause) for pause in pauses] == pytest.approx([0.05, 0.1, 0.2, 0.05])


def test_part_that_hangs_is_killed_and_started_again(supervised, tmp_path, free_ports, caplog, monkeypatch):
    caplog.set_level("INFO", logger="supervisor")
    monkeypatch.setattr(supervise, "LISTEN_S", 0.1)
    one, other = free_ports(2)
    supervisor = supervised(part("reasoner", one), part("dashboard", other))
    turn(supervisor, until=lambda: read_stack(tmp_path).ready_s is not None)
    os.kill(read_stack(tmp_path).running()["reasoner"].pid, signal.SIGSTOP)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].restarts == 1)
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].ready_s is not None)
    reasoner, dashboard = read_stack(tmp_path).parts
    assert (reasoner.last_exit, dashboard.restarts) == ("signal SIGKILL", 0)
    assert httpx.get(reasoner.part.ready).status_code == 200
    assert "reasoner runs and answers nothing: it hangs, and is killed" in caplog.messages


def test_part_that_pauses_or_says_that_it_is_not_ready_is_left_alone(supervised, tmp_path, free_ports, monkeypatch):
    monkeypatch.setattr(supervise, "LISTEN_S", 0.1)
    draining = part("recommender", *free_ports(1), WEB)
    supervisor = supervised(draining)
    turn(supervisor, until=lambda: read_stack(tmp_path).ready_s is not None)
    pid = read_stack(tmp_path).running()["recommender"].pid
    [watched] = supervisor._watched
    os.kill(pid, signal.SIGSTOP)
    turn(supervisor, until=lambda: watched.num_silent >= 2)
    os.kill(pid, signal.SIGCONT)
    turn(supervisor, until=lambda: watched.num_silent == 0)
    watched.running.part = replace(watched.running.part, ready=watched.running.part.ready + "nothing-here")  # 404
    for _ in range(2 * supervise.MAX_SILENT):
        watched.listened_at = 0.0
        supervisor.look()
    assert (watched.num_silent, watched.running.restarts) == (0, 0)


def test_part_that_was_never_ready_is_not_started_again(supervised, tmp_path, free_ports):
    supervisor = supervised(part("student", *free_ports(1), BROKEN))
    turn(supervisor, until=lambda: read_stack(tmp_path).parts[0].last_exit is not None)
    for _ in range(5):
        supervisor.look()
        time.sleep(0.05)
    [student] = read_stack(tmp_path).parts
    assert (student.restarts, student.last_exit, student.ready_s) == (0, "status 3", None)


def test_state_is_read_as_it_was_written(tmp_path):
    stack = Stack("now", "/tmp/rac-x", [Running(part("student", 1), restarts=2, last_exit="status 1", ready_s=0.5)])
    write_stack(tmp_path, stack)
    assert read_stack(tmp_path) == stack


@pytest.fixture
def service(tmp_path, free_ports):
    """A config, its parts (two small web servers), running under the real supervisor."""
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    config = Config(workdir=tmp_path)
    parts = [part(name, port) for name, port in zip(("student", "dashboard"), free_ports(2), strict=True)]
    up(config, parts)
    yield config, parts
    down(config)


def test_service_restarts_what_is_killed_and_status_tells_it(service, capsys):
    config, parts = service
    folder = config.workdir / "serving"
    assert read_stack(folder).ready_s > 0
    assert status(config, parts)
    os.kill(read_stack(folder).running()["student"].pid, signal.SIGKILL)
    wait_for(lambda: read_stack(folder).parts[0].restarts == 1 and read_stack(folder).parts[0].ready_s is not None)
    capsys.readouterr()
    assert status(config, parts)
    assert "restarted once, last end: signal SIGKILL" in capsys.readouterr().err
    assert "student ended with signal SIGKILL; starts again in 1 s" in (folder / "supervisor.log").read_text()


def test_down_while_a_part_waits_for_its_restart_leaves_nothing(service):
    config, _ = service
    folder = config.workdir / "serving"
    stack = read_stack(folder)
    os.kill(stack.running()["student"].pid, signal.SIGKILL)
    wait_for(lambda: read_stack(folder).parts[0].last_exit is not None)
    down(config)
    assert read_stack(folder) is None
    assert [one for one in (*stack.running().values(), stack.supervisor) if one.process()] == []
    assert [one for one in stack.parts if answers(one.part.ready)] == []


def test_down_stops_the_parts_also_when_the_supervisor_was_killed(service, capsys):
    config, parts = service
    stack = read_stack(config.workdir / "serving")
    os.kill(stack.supervisor.pid, signal.SIGKILL)
    wait_for(lambda: stack.supervisor.process() is None)
    assert status(config, parts)  # what runs is not touched
    assert "nothing is started again" in capsys.readouterr().err
    down(config)
    assert [one for one in stack.running().values() if one.process()] == []


def test_state_of_another_version_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "stack.json").write_text(json.dumps({"parts": [{"pid": 1}]}))
    with pytest.raises(Exception, match="stop the parts by hand"):
        read_stack(tmp_path)


def turn(supervisor, *, until):
    def looked():
        supervisor.look()
        return until()

    wait_for(looked)


def answers(url):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).status_code == 200
    return False
