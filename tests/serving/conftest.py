import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the helpers beside the tests; pytest's importlib mode adds no folder


@pytest.fixture(scope="session")
def free_ports():
    """Gives n ports that nobody listens on."""

    def take(count):
        sockets = [socket.socket() for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        return ports

    return take


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts programs that the module's tests need, waits until they answer, and stops them afterwards."""
    running = []

    def run(command, *, ready, within_s=120, env=None):
        log = tmp_path_factory.mktemp("log") / "server.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **(env or {})}
        with log.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        running.append(process)
        wait_until_ready(process, ready, within_s=within_s, log=log)
        return process

    yield run
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=60)


def wait_until_ready(process, url, *, within_s, log):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"server ended with status {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    pytest.fail(f"{url} was not ready within {within_s} s:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def start_ranker(start, free_ports):
    """A KServe model server over the four-film world; gives its process, REST and gRPC port."""

    def run(kind, models):
        port, grpc_port = free_ports(2)
        process = start(
            [sys.executable, str(HERE / "serving_world.py"), kind, str(models), str(port), str(grpc_port)],
            ready=f"http://127.0.0.1:{port}/v2/models/{kind}/ready",
        )
        return process, port, grpc_port

    return run
