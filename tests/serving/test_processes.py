import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from serving_world import write_version
from waiting import wait_for

from raconteur.config.schema import Config
from raconteur.errors import ConfigError, ServingError
from serving.machine.parts import parts_of
from serving.machine.processes import Started, refuse_taken_ports, spawn, stop
from serving.stack import up

PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def run(code, tmp_path):
    return Started.of(spawn([sys.executable, "-c", code], log=tmp_path / "log", environment={}).pid)


def test_stop_ends_a_process_and_its_children(tmp_path):
    started = run(PARENT, tmp_path)
    parent = started.process()
    wait_for(parent.children)
    [child] = parent.children()
    stop([started])
    assert started.process() is None
    assert not child.is_running()


def test_spawn_metrics_folder_of_the_parent_is_not_inherited(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    started = run("import os; print(os.environ.get('PROMETHEUS_MULTIPROC_DIR'), 'end', flush=True)", tmp_path)
    wait_for(lambda: "end" in (tmp_path / "log").read_text())
    assert (tmp_path / "log").read_text() == "None end\n"
    stop([started])


def test_stop_finds_the_children_of_a_process_that_was_killed(tmp_path):
    started = run(PARENT, tmp_path)
    parent = started.process()
    wait_for(parent.children)
    [child] = parent.children()
    parent.kill()
    wait_for(lambda: started.process() is None)
    assert child.is_running()
    stop([started])
    assert not child.is_running()


def test_stop_kills_what_does_not_listen(tmp_path):
    started = run(STUBBORN, tmp_path)
    wait_for(lambda: "deaf" in (tmp_path / "log").read_text())
    stop([started], within_s=0.5)
    assert started.process() is None


def test_stop_never_touches_another_process_with_the_same_number(tmp_path):
    started = run("import time; time.sleep(600)", tmp_path)
    stop([Started(started.pid, started.created - 100)])
    assert started.process() is not None
    stop([started])


def test_refuse_taken_port_names_the_port_the_part_and_the_process():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServingError) as caught:
            refuse_taken_ports("127.0.0.1", {port: "student"})
    assert f"port {port}" in str(caught.value)
    assert "student" in str(caught.value)
    assert f"pid {os.getpid()}" in str(caught.value)


def test_up_one_port_for_two_parts_is_refused(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    config = Config(workdir=tmp_path, serve={"student_port": 8801, "port": 8801})
    with pytest.raises(ConfigError, match="port 8801 is meant for recommender and student"):
        up(config, parts_of(config, tmp_path / "config.json"))


def test_up_model_that_cannot_be_loaded_ends_with_its_log_and_nothing_running(tmp_path, free_ports):
    """The real command, over a version whose student is not a model."""
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    config, path = write_config(tmp_path, free_ports)
    done = subprocess.run(
        [sys.executable, "-m", "serving.stack", "--config-json", str(path), "up"],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 1
    assert "ended while it started" in done.stderr
    assert str(tmp_path / "models" / "v1") in done.stderr.replace("\n", "")
    assert left_of(tmp_path) == []
    assert not (tmp_path / "serving" / "stack.json").exists()
    assert config.serve.port not in {one.laddr.port for one in psutil.net_connections("tcp")}


def test_up_sigterm_while_it_waits_stops_everything(tmp_path, free_ports):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    _, path = write_config(tmp_path, free_ports)
    command = [sys.executable, "-m", "serving.stack", "--config-json", str(path), "up"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for((tmp_path / "serving" / "stack.json").exists)
        scratch = Path(json.loads((tmp_path / "serving" / "stack.json").read_text())["scratch"])
        assert scratch.is_dir()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert not scratch.exists()
    assert left_of(tmp_path) == []


def write_config(workdir, free_ports):
    names = ("port", "grpc_port", "student_port", "reasoner_port", "evidently_port")
    config = Config(workdir=workdir, serve=dict(zip(names, free_ports(5), strict=True)))
    path = workdir / "config.json"
    path.write_text(config.model_dump_json())
    return config, path


def left_of(workdir):
    """Processes whose command names this test's folder."""
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if any(str(workdir) in word for word in one.info["cmdline"] or ())
    ]
