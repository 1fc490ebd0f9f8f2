"""One JSON object a line, whatever is logged and whoever logs it."""

import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_world import write_version

from serving.records.json_log import MAX_CHARS, MAX_FRAMES, JsonLine, outgoing_headers, request_id_var

PROGRAM = Path(__file__).parent / "json_log_program.py"
FORGED = 'ends\n{"level": "critical", "message": "forged"}\r\x1b[31m \u2028 \x00 \ud800'


def line_of(message, *arguments, error=None):
    """The line of a message, and what a reader of JSON sees in it."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("serving.test", logging.WARNING, __file__, 1, message, arguments, exc_info)
    line = JsonLine("student").format(record)
    return line, json.loads(line)


def test_line_plain_message_has_time_level_logger_part_and_message_only():
    _, told = line_of("%d requests wait", 3)
    time = datetime.fromisoformat(told.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert told == {"level": "warning", "logger": "serving.test", "part": "student", "message": "3 requests wait"}


@given(text=st.text(st.characters(), max_size=300))  # surrogates and control characters too
def test_line_any_text_stays_on_one_printable_line_and_comes_back_as_it_was(text):
    line, told = line_of("%s", text)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert not any(ord(character) < 32 for character in line)
    assert told["message"] == text
    assert told["level"] == "warning"


def test_line_within_a_request_names_it_and_bounds_what_a_client_sent_as_its_id():
    token = request_id_var.set("r-1\n" + "x" * 5000)
    try:
        line, told = line_of("slow")
    finally:
        request_id_var.reset(token)
    assert told["request_id"].startswith("r-1\nxxx")
    assert len(line) < 500
    assert "request_id" not in line_of("slow")[1]


def test_line_long_message_is_cut_and_says_how_long_it_was():
    _, told = line_of("%s", "x" * 1_000_000)
    assert told["message"] == "x" * MAX_CHARS + "... (1000000 characters)"


def test_line_exception_tells_type_message_and_the_innermost_places_without_values():
    def fall(depth, secret):
        if depth == 0:
            raise KeyError("no such item")
        fall(depth - 1, secret)

    with pytest.raises(KeyError) as caught:
        fall(100, secret="user-4711")
    line, told = line_of("failed", error=caught.value)
    assert (told["error"]["type"], told["error"]["message"]) == ("KeyError", "'no such item'")
    assert len(told["error"]["stack"]) == MAX_FRAMES
    assert all(place.startswith("tests/serving/test_json_log.py:") for place in told["error"]["stack"])
    assert told["error"]["stack"][-1].endswith(" fall")
    assert "user-4711" not in line


@pytest.mark.parametrize(
    ("request_id", "sent"),
    [
        ("r-1", {"x-request-id": "r-1"}),
        ("r-1\r\nauthorization: x", {}),
        ("é", {}),
        ("x" * 129, {}),
        ("", {}),
        (None, {}),
    ],
)
def test_outgoing_headers_name_the_request_unless_its_id_is_no_header(request_id, sent):
    token = request_id_var.set(request_id)
    try:
        assert outgoing_headers() == sent
    finally:
        request_id_var.reset(token)


def test_program_every_logger_warning_thread_and_end_is_a_json_line():
    done = subprocess.run([sys.executable, str(PROGRAM), "uncaught"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stderr.splitlines()]
    loggers = ["serving", "uvicorn", "uvicorn.error", "uvicorn.access", "kserve", "kserve.trace", "ray", "ray.serve"]
    assert [one["message"] for one in told[:8]] == [f"from {name}" for name in loggers]  # each of them once
    assert told[8]["message"] == FORGED
    assert told[9]["logger"] == "py.warnings"
    assert told[10]["error"]["type"] == "ZeroDivisionError"
    assert told[11]["error"]["message"] == "first line\nsecond line"
    assert len(told) == 12
    assert {one["part"] for one in told} == {"recommender"}
    assert {one["request_id"] for one in told if one["message"] != "a thread ends"} == {"r-1"}


def test_model_server_logs_of_ours_uvicorn_and_kserve_are_json_and_name_the_request(tmp_path, start, free_ports):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    log, (port, grpc_port) = tmp_path / "stderr.log", free_ports(2)
    url = f"http://127.0.0.1:{port}/v2/models/student"
    command = [sys.executable, PROGRAM, "serve", tmp_path / "models", port, grpc_port]
    shell = f"exec {' '.join(map(str, command))} 2> {log}"
    process = start(["sh", "-c", shell], ready=f"{url}/ready", env={"KSERVE_LOGLEVEL": "INFO"})
    by_id = httpx.post(f"{url}/infer", json={"id": FORGED[:-1], "inputs": []})
    by_header = httpx.post(f"{url}/infer", json={"inputs": []}, headers={"x-request-id": "r-2"})
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a text of a user"]}
    candidates = {"name": "candidates", "shape": [1, 1], "datatype": "BYTES", "data": ["i1"]}
    answered = [httpx.post(f"{url}/infer", json={"inputs": [text, candidates]}).status_code for _ in range(50)]
    process.terminate()
    process.wait(timeout=60)

    assert (by_id.status_code, by_header.status_code, set(answered)) == (400, 400, {200})
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"kserve", "uvicorn.error"} <= {one["logger"] for one in told}
    assert {one["part"] for one in told} == {"student"}
    assert not any("a text of a user" in json.dumps(one) for one in told)
    failures = [one for one in told if "error" in one]
    assert [one["error"]["type"] for one in failures] == ["InvalidInput"] * 2
    assert [one["request_id"] for one in failures] == [FORGED[:-1], "r-2"]
    assert len(told) < len(answered)  # no line a request
