"""The whole service, for real: KServe model servers, Ray Serve behind HAProxy, Feast, Evidently, and their supervisor.

One story, in order: it answers, loses its parts one by one, has them back, and goes without a trace.

Only the two rankers are ours (word overlap, worked out by hand): training real ones belongs to the end-to-end test.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import psutil
import pytest
import tritonclient.http as triton_http
from local_service import PATIENT
from serving_world import is_loopback, write_version
from store_world import write_store

from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.pseudonym import pseudonym, pseudonym_key
from serving.client import recommend
from serving.machine.parts import parts_of
from serving.machine.processes import Started
from serving.machine.state import Part, read_stack
from serving.ports import grpc_port
from serving.stack import down, read_state, status, up

WORLD = Path(__file__).parent / "serving_world.py"
# A connection that was kept open is closed, and nobody listens for a new one.
REFUSED = ("ConnectError", "RemoteProtocolError", "ReadError")
GRPC_CLIENT = Path(__file__).parent / "triton_grpc_recommender.py"


@pytest.fixture(scope="module")
def config(tmp_path_factory, free_ports):
    workdir = tmp_path_factory.mktemp("run")
    write_version(workdir / "models", "v1").promote("v1", cause="test")
    write_store(workdir / "features")
    names = ("port", "grpc_port", "evidently_port", "student_port", "reasoner_port")
    ports = dict(zip(names, (*free_ports(3), *free_model_ports(free_ports)), strict=True))
    serve = {**ports, **PATIENT, "student": {"kind": "kserve"}, "log_seconds": 0.2}
    return Config(workdir=workdir, serve=serve)


@pytest.fixture(scope="module")
def parts(config):
    path = config.workdir / "config.json"
    path.write_text(config.model_dump_json())
    return [with_tiny_ranker(part, config) for part in parts_of(config, path)]


@pytest.fixture(scope="module")
def stack(config, parts):
    """The running stack, by part; stopped at the end whatever happens."""
    up(config, parts)
    try:
        yield read_state(config.workdir / "serving")
    finally:
        down(config)


@pytest.fixture(scope="module")
def address(config, stack):
    return f"http://{config.serve.host}:{config.serve.port}"


def test_recommend_sure_student_answers_with_titles_and_versions(address):
    answer = recommend(address, "sure", 2)
    assert [(item["item_id"], item["title"], item["score"]) for item in answer["items"]] == [
        ("i3", "court drama", 2.0),
        ("i2", "space romance", 0.0),
    ]
    assert (answer["route"], answer["degraded"]) == ("student", False)
    assert (answer["versions"]["model"], answer["versions"]["narrative"]) == ("v1", "verbalizer-1")
    assert set(answer["stage_ms"]) == {"features", "retrieve", "student", "guard"}


def test_recommend_torn_student_hands_over_to_the_reasoner(address):
    answer = recommend(address, "torn", 5)
    assert answer["route"] == "reasoner"
    assert [(item["item_id"], item["score"]) for item in answer["items"]] == [("i3", 10.0), ("i4", 10.0)]


@pytest.mark.parametrize(("user", "first"), [("nobody", "i1"), ("shy", "i2")])
def test_recommend_unknown_user_or_one_without_takes_gets_popular_items(address, user, first):
    answer = recommend(address, user, 3)
    assert (answer["route"], answer["degraded"], answer["items"][0]["item_id"]) == ("cold", False, first)


def test_infer_triton_client_gets_the_same_ranking(address):
    client = triton_http.InferenceServerClient(address.removeprefix("http://"))
    user = triton_http.InferInput("user_id", [1], "BYTES")
    user.set_data_from_numpy(np.array(["sure"], dtype=object))
    assert client.is_server_ready()
    assert client.is_model_ready("recommender")
    result = client.infer("recommender", [user], parameters={"k": 2})
    assert result.as_numpy("items").tolist() == [[b"i3", b"i2"]]
    assert result.as_numpy("scores").tolist() == [[2.0, 0.0]]
    assert result.get_response()["parameters"]["route"] == "student"


def test_infer_triton_grpc_client_gets_the_same_ranking(config, stack):
    address = f"{config.serve.host}:{config.serve.grpc_port}"
    done = subprocess.run(
        [sys.executable, str(GRPC_CLIENT), address, "sure"], capture_output=True, text=True, timeout=60
    )
    answer = json.loads(done.stdout or "null")
    assert answer, done.stderr
    assert (answer["ready"], answer["model_ready"], answer["versions"]) == (True, True, ["v1"])
    assert (answer["items"], answer["scores"], answer["route"]) == (["i3", "i2"], [2.0, 0.0], "student")


def test_events_change_the_next_answer_and_are_kept(address, config):
    event = {"item_id": "i2", "event_time": "2024-05-02T00:00:00Z"}
    answer = httpx.post(f"{address}/v1/events", json={"user_id": "fresh", "events": [event]})
    assert answer.json() == {"accepted": 1, "features_updated": True, "unknown_items": []}
    assert answer.status_code == 202
    after = recommend(address, "fresh", 5)
    assert after["route"] != "cold"
    assert "i2" not in [item["item_id"] for item in after["items"]]
    kept = rows_of(config.workdir / "events", 1)
    assert kept.select("user_id", "item_id", "event_type").rows() == [("fresh", "i2", "play")]


def test_prediction_log_has_a_full_row_for_each_answer(address, config):
    answer = recommend(address, "sure", 2)
    rows = rows_of(config.workdir / "predictions", 1, request_id=answer["request_id"])
    row = rows.row(0, named=True)
    assert row["user_id"] == pseudonym("sure", pseudonym_key(config.workdir))
    assert (row["k"], row["route"], row["version"]) == (2, "student", "v1")
    assert row["candidates"] == ["i2", "i3", "i4"]
    assert row["sources"] == ["popularity"] * 3
    assert row["scores"] == [0.0, 2.0, 0.0]
    assert row["items"] == ["i3", "i2"]
    assert row["narrative"] == "court court"
    assert row["margin"] == pytest.approx((np.e**2 - 1) / (np.e**2 + 2))
    assert not list((config.workdir / "predictions").glob(".*"))


def test_pages_openapi_metrics_and_dashboard_answer(address, config):
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert {"/v1/recommendations", "/v1/events", "/v2/models/recommender/infer", "/metrics", "/healthz"} <= set(paths)
    assert httpx.get(f"{address}/docs").status_code == 200
    metrics = httpx.get(f"{address}/metrics").text
    assert 'raconteur_recommendations_total{degraded="false",route="student"}' in metrics
    assert 'raconteur_model_version_info{version="v1"} 1.0' in metrics
    dashboard = f"http://{config.serve.host}:{config.serve.evidently_port}"
    assert httpx.get(f"{dashboard}/api/version").status_code == 200


def test_state_says_how_long_the_start_took(config, stack):
    state = read_stack(config.workdir / "serving")
    assert {one.part.name for one in state.parts if one.ready_s} == set(stack)
    assert state.ready_s >= max(one.ready_s for one in state.parts)


def test_sockets_of_all_processes_listen_on_loopback_only(stack):
    family = [process for one in stack.values() for process in with_children(one)]
    listening = [
        (process.name(), one.laddr.ip)
        for process in family
        for one in process.connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 10
    assert [entry for entry in listening if not is_loopback(entry[1])] == []


def test_up_twice_is_refused(stack, config, parts):
    with pytest.raises(ServingError, match="run already"):
        up(config, parts)


def test_champion_new_version_is_served_without_a_restart(address, config):
    write_version(config.workdir / "models", "v2", weight=2.0).promote("v2", cause="test")
    wait_for(lambda: recommend(address, "sure", 1)["versions"]["model"] == "v2")
    assert recommend(address, "sure", 1)["items"][0]["score"] == 4.0
    wait_for(lambda: httpx.get(f"{address}/healthz").json()["version"] == "v2")


def test_reasoner_and_student_killed_degrade_the_answer_and_come_back_by_themselves(address, config, parts):
    end(config, "reasoner")
    answer = recommend(address, "torn", 5)
    assert (answer["route"], answer["degraded"]) == ("student", True)
    assert "reasoner failed" in answer["reason"]
    end(config, "student")
    answer = recommend(address, "sure", 5)
    assert (answer["route"], answer["degraded"]) == ("retriever", True)
    assert [item["item_id"] for item in answer["items"]] == ["i2", "i3", "i4"]
    assert ready(address)  # a degraded answer is better than none
    assert status(config, parts) is False
    wait_for(lambda: status(config, parts), within_s=120)
    wait_for(lambda: recommend(address, "torn", 5)["route"] == "reasoner")
    restarts = {one.part.name: one.restarts for one in read_stack(config.workdir / "serving").parts}
    assert restarts == {"recommender": 0, "student": 1, "reasoner": 1, "dashboard": 0}


def test_replica_killed_is_started_again_by_ray(address, config):
    [replica] = [
        one for one in with_children(running(config)["recommender"]) if "ServeReplica" in " ".join(one.cmdline())
    ]
    replica.kill()
    wait_for(lambda: not replica.is_running())
    wait_for(lambda: answers(address), within_s=120)
    assert recommend(address, "sure", 2)["route"] == "student"
    assert read_stack(config.workdir / "serving").parts[0].restarts == 0


def test_recommender_told_to_end_answers_what_it_has_and_refuses_the_rest(address, config, parts):
    """Four clients ask without a pause. Whoever asked before the end was told gets an answer, later ones a refusal."""
    asked, told_to_stop = [], threading.Event()

    def ask():
        with httpx.Client(timeout=20) as client:
            while not told_to_stop.is_set():
                began = time.monotonic()
                try:
                    answer = client.post(f"{address}/v1/recommendations", json={"user_id": "torn"})
                    asked.append((began, answer.status_code))
                except httpx.TransportError as error:
                    asked.append((began, type(error).__name__))
                    time.sleep(0.02)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    wait_for(lambda: len(asked) > 20)
    recommender = running(config)["recommender"]
    told = time.monotonic()
    os.kill(recommender.pid, signal.SIGTERM)
    wait_for(lambda: recommender.process() is None)
    told_to_stop.set()
    for client in clients:
        client.join()
    assert {outcome for began, outcome in asked if began < told} == {200}
    assert {outcome for began, outcome in asked if began > told} <= {200, 503, *REFUSED}
    assert "drained, 0 requests were left" in (config.workdir / "serving" / "recommender.log").read_text()
    wait_for(lambda: status(config, parts), within_s=180)  # the supervisor has it back
    assert recommend(address, "sure", 2)["route"] == "student"


def test_down_leaves_no_process_socket_or_file_behind(stack, config):
    family = [process for one in running(config).values() for process in with_children(one)]
    folders = {path for process in family for path in ray_folders(process)}
    assert folders
    down(config)
    assert [process for process in family if process.is_running()] == []
    assert not any(path.exists() for path in folders)
    assert running(config) == {}


def free_model_ports(free_ports):
    """Two REST ports whose gRPC ports are free as well."""
    while True:
        student, reasoner = free_ports(2)
        if len({student, reasoner, grpc_port(student), grpc_port(reasoner)}) == 4 and not any(
            one.laddr.port in (grpc_port(student), grpc_port(reasoner)) for one in psutil.net_connections("tcp")
        ):
            return student, reasoner


def with_tiny_ranker(part, config):
    if part.name not in ("student", "reasoner"):
        return part
    models = str(config.workdir / "models")
    command = (sys.executable, str(WORLD), part.name, models, *map(str, part.ports))
    return Part(part.name, command, part.ports, part.ready)


def with_children(started: Started):
    process = started.process()
    return [process, *process.children(recursive=True)] if process else []


def ray_folders(process):
    with contextlib.suppress(psutil.NoSuchProcess):  # Ray's idle workers come and go
        return {Path(word.split("=")[-1]).parents[1] for word in process.cmdline() if word.startswith("--log_dir=")}
    return set()


def running(config):
    return read_state(config.workdir / "serving")


def end(config, name):
    started = running(config)[name]
    os.kill(started.pid, signal.SIGKILL)
    wait_for(lambda: started.process() is None)


def answers(address):
    try:
        return httpx.post(f"{address}/v1/recommendations", json={"user_id": "sure"}, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ready(address):
    return httpx.get(f"{address}/v2/health/ready").status_code == 200


def rows_of(folder, num_rows, **equal):
    """Rows of a log, once enough of them are on disk."""

    def read():
        files = sorted(folder.glob("[!.]*.parquet"))
        table = pl.concat([pl.read_parquet(path) for path in files]) if files else pl.DataFrame()
        return table.filter(**equal) if files and equal else table

    wait_for(lambda: read().height >= num_rows)
    return read()


def wait_for(condition, within_s=30):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.1)
