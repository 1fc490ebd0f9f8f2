"""Submission against a small real server that speaks the part of the Kubeflow API which a submission needs."""

import importlib.util
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.remote import compile_to, submit
from raconteur.errors import PipelineError

_spec = importlib.util.spec_from_file_location("tiny_pipeline", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)


class Kubeflow(BaseHTTPRequestHandler):
    """Answers health, experiments and runs; keeps the runs that were posted."""

    def do_GET(self) -> None:
        if "healthz" in self.path:
            self._answer({"multi_user": False})
        elif "experiments" in self.path:
            self._answer({"experiments": [], "total_size": 0})
        else:
            self._answer({"error": "not found"}, status=404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "experiments" in self.path:
            self._answer({"experiment_id": "e1", "display_name": body["display_name"]})
        elif self.server.hold.is_set():
            self.server.released.wait(timeout=20)
        elif self.server.refuse:
            self._answer({"error": "quota exceeded"}, status=403)
        else:
            self.server.runs.append(body)
            self._answer({"run_id": "r1", "display_name": body["display_name"], "experiment_id": "e1"})

    def _answer(self, body: dict, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def kubeflow():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubeflow)
    server.runs, server.refuse = [], False
    server.hold, server.released = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def address(server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


ARGUMENTS = {"source": "abc", "runs": "/runs/r.txt", "broken": "/runs/b"}


def test_submit_run_is_posted_with_spec_and_arguments(kubeflow):
    run_id = submit(tiny.tiny, ARGUMENTS, endpoint=address(kubeflow), experiment="raconteur-tiny")

    assert run_id == "r1"
    (posted,) = kubeflow.runs
    assert posted["pipeline_spec"]["pipelineInfo"]["name"] == "tiny"
    assert posted["runtime_config"]["parameters"] == ARGUMENTS
    assert posted["experiment_id"] == "e1"


def test_submit_refused_run_is_a_pipeline_error(kubeflow):
    kubeflow.refuse = True
    with pytest.raises(PipelineError, match="refused the run"):
        submit(tiny.tiny, ARGUMENTS, endpoint=address(kubeflow), experiment="x")


def test_submit_server_that_hangs_after_its_health_is_given_up(kubeflow):
    kubeflow.hold.set()
    with pytest.raises(PipelineError, match=r"did not take the run within 0\.5 s"):
        submit(tiny.tiny, ARGUMENTS, endpoint=address(kubeflow), experiment="x", timeout_s=0.5)


def test_submit_nothing_at_the_address_says_so_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PipelineError, match="no Kubeflow Pipelines API answers"):
        submit(tiny.tiny, ARGUMENTS, endpoint=f"http://127.0.0.1:{port}", experiment="x")


@pytest.mark.parametrize("endpoint", ["no address", "http://", "ftp://host"])
def test_submit_malformed_address_is_a_pipeline_error(endpoint):
    with pytest.raises(PipelineError, match="no Kubeflow Pipelines API answers"):
        submit(tiny.tiny, ARGUMENTS, endpoint=endpoint, experiment="x")


def test_submit_silent_server_times_out():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(PipelineError, match="Timeout"):
            submit(tiny.tiny, ARGUMENTS, endpoint=endpoint, experiment="x", probe_timeout_s=0.2)


def test_compile_to_folder_that_cannot_be_made_is_a_pipeline_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="cannot be written"):
        compile_to(tiny.tiny, tmp_path / "file" / "train.yaml")


def test_compile_to_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "train.yaml").write_text("old")
    compile_to(tiny.tiny, tmp_path / "train.yaml")
    assert "pipelineInfo" in (tmp_path / "train.yaml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["train.yaml"]
