"""A real KServe model server over a ranker whose scores can be worked out by hand."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http as triton_http
from serving_world import is_loopback, write_version
from waiting import wait_for

TEXT = "space space war"  # i1 "space war" 3, i2 "space romance" 2, i3 0, i4 "war drama" 1
CANDIDATES = ["i1", "i2", "i3", "i4", "ghost"]
SCORES = [3.0, 2.0, 0.0, 1.0, -1e9]


@pytest.fixture(scope="module")
def server(tmp_path_factory, start_ranker):
    models = tmp_path_factory.mktemp("models")
    write_version(models, "v1").promote("v1", cause="test")
    process, port, grpc_port = start_ranker("student", models)
    return process, port, grpc_port, models


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server[1]}/v2/models/student"


def body(text=(TEXT,), candidates=(CANDIDATES,)):
    flat = [item for row in candidates for item in row]
    return {
        "inputs": [
            {"name": "text", "shape": [len(text)], "datatype": "BYTES", "data": list(text)},
            {
                "name": "candidates",
                "shape": [len(candidates), len(candidates[0])],
                "datatype": "BYTES",
                "data": flat,
            },
        ]
    }


def test_infer_json_gives_scores_and_version(url):
    answer = httpx.post(f"{url}/infer", json=body()).raise_for_status().json()
    assert answer["parameters"] == {"version": "v1"}
    assert answer["outputs"] == [
        {"name": "scores", "shape": [1, 5], "datatype": "FP32", "parameters": None, "data": SCORES}
    ]


def test_infer_triton_http_binary_gives_the_same_scores(server):
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server[1]}")
    text = triton_http.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([TEXT], dtype=object))
    candidates = triton_http.InferInput("candidates", [1, len(CANDIDATES)], "BYTES")
    candidates.set_data_from_numpy(np.array([CANDIDATES], dtype=object))
    assert client.is_model_ready("student")
    assert client.infer("student", [text, candidates]).as_numpy("scores").tolist() == [SCORES]


def test_triton_grpc_finds_it_ready_reads_its_metadata_and_gets_the_same_scores(server):
    script = Path(__file__).parent / "triton_grpc_client.py"
    command = [sys.executable, str(script), f"127.0.0.1:{server[2]}", "student", TEXT, *CANDIDATES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expected = {"scores": [SCORES], "version": "v1", "ready": True, "inputs": ["text", "candidates"]}
    assert json.loads(done.stdout or "null") == expected, done.stderr


def test_metadata_names_inputs_and_outputs(url):
    metadata = httpx.get(url).json()
    assert [(one["name"], one["datatype"]) for one in metadata["inputs"]] == [
        ("text", "BYTES"),
        ("candidates", "BYTES"),
    ]
    assert metadata["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, -1]}]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (body(text=[TEXT] * 65, candidates=[CANDIDATES] * 65), "text has 65 elements"),
        (body(text=[TEXT] * 2), "candidates has 1 rows for 2 texts"),
        (body(candidates=[[f"i{n}" for n in range(201)]]), "candidates has 201 columns"),
        (body(text=["x" * 20_001]), "a string of 20001 characters"),
        (body(text=[3]), "does not hold UTF-8 strings"),
        ({"inputs": body()["inputs"][:1]}, "input 'candidates' is missing"),
        (
            {"inputs": [{**body()["inputs"][0], "shape": [7]}, body()["inputs"][1]]},
            "does not hold UTF-8 strings of shape",
        ),
        ({"inputs": [{**body()["inputs"][0], "datatype": "FP32"}, body()["inputs"][1]]}, "expected BYTES"),
    ],
)
def test_infer_malformed_request_is_a_clear_400(url, request_body, message):
    answer = httpx.post(f"{url}/infer", json=request_body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"{}", {"inference-header-content-length": "two"}),
        (b"{}", {"inference-header-content-length": "2"}),
        (b"[]", {"inference-header-content-length": "2"}),
        (b'{"inputs": 3}', {"inference-header-content-length": "13"}),
        (b'{"inputs": [{}]}', {"inference-header-content-length": "16"}),
        (b"", {"inference-header-content-length": "-1"}),
        (b"{}", {}),
        (b"\xff", {"content-type": "application/json"}),
        (b"nothing", {}),
    ],
)
def test_infer_body_that_is_no_request_is_the_senders_fault(url, content, headers):
    answer = httpx.post(
        f"{url}/infer", content=content, headers={"content-type": "application/octet-stream", **headers}
    )
    assert 400 <= answer.status_code < 500, answer.text


def test_infer_bodies_with_bytes_changed_never_fail_in_the_server(url):
    rng, good = np.random.default_rng(0), json.dumps(body()).encode()
    for _ in range(100):
        changed = bytearray(good)
        for place in rng.integers(len(changed), size=rng.integers(1, 6)):
            changed[place] = rng.integers(256)
        length = str(rng.integers(-1, len(good) + 2))
        for headers in ({"content-type": "application/json"}, {"inference-header-content-length": length}):
            answer = httpx.post(f"{url}/infer", content=bytes(changed), headers=headers)
            assert answer.status_code < 500, (bytes(changed), headers, answer.text)
    assert httpx.post(f"{url}/infer", json=body()).json()["outputs"][0]["data"] == SCORES


def test_v1_protocol_is_refused_with_the_way_out(server):
    answer = httpx.post(f"http://127.0.0.1:{server[1]}/v1/models/student:predict", json={"instances": [1]})
    assert answer.status_code == 400
    assert "/v2/models/student/infer" in answer.json()["error"]


def test_sockets_all_listen_on_loopback_only(server):
    process = psutil.Process(server[0].pid)
    listening = [one.laddr for one in process.connections() if one.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == {server[1], server[2]}
    assert all(is_loopback(address.ip) for address in listening)


def test_champion_bad_version_is_refused_and_a_good_one_swapped_in(server, url):
    """One story, in order: a damaged version changes nothing, the next good one serves without a restart."""
    models = server[3]
    registry = write_version(models, "v2", weight=2.0)
    (models / "v2" / "student" / "weights.json").write_text("{}")  # no longer what the manifest says
    point(models, "v2")
    time.sleep(2.5)  # longer than two looks at the pointer
    assert version_of(url) == "v1"

    registry = write_version(models, "v3", weight=3.0)
    registry.promote("v3", cause="test")
    wait_for(lambda: version_of(url) == "v3")
    assert httpx.post(f"{url}/infer", json=body()).json()["outputs"][0]["data"][0] == 9.0
    metrics = httpx.get(f"http://127.0.0.1:{server[1]}/metrics").text
    assert 'raconteur_model_version_info{model="student",version="v3"} 1.0' in metrics
    assert 'version="v1"' not in metrics


def point(models, version):
    (models / "champion.json").write_text(
        json.dumps({"version": version, "since": "now", "cause": "", "previous": "v1"})
    )


def version_of(url):
    return httpx.post(f"{url}/infer", json=body()).json()["parameters"]["version"]
