"""The HTTP face: schemas, errors, the V2 form, metrics. In this process, over the four-film world."""

import asyncio

import httpx
import pytest
from local_service import open_local, user
from serving_world import write_version

from serving.door.app import create_app
from serving.door.limits import MAX_BODY_BYTES
from serving.door.readiness import Readiness


@pytest.fixture
def call(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, *_ = open_local(tmp_path)
    store.users = {"sure": user("sure", ["i1"], "court court")}
    readiness = Readiness()
    readiness.open()
    app = create_app(service, readiness)

    def send(method, path, **arguments):
        async def once():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(once())

    yield send
    asyncio.run(service.close())


def v2(user_ids=("sure",), **parameters):
    tensor = {"name": "user_id", "shape": [len(user_ids)], "datatype": "BYTES", "data": list(user_ids)}
    return {"inputs": [tensor], "parameters": parameters}


def test_recommendations_known_user_gets_titles_scores_and_sources(call):
    answer = call("POST", "/v1/recommendations", json={"user_id": "sure", "k": 1}).json()
    [item] = answer["items"]
    assert (item["rank"], item["item_id"], item["title"], item["score"]) == (1, "i3", "court drama", 2.0)
    assert (item["source"], item["reason"], item["evidence"]) == ("popularity", "Taken by many.", [])
    assert answer["route"] == "student"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "send user_id, or history"),
        ({"user_id": ""}, "at least 1 character"),
        ({"user_id": "u", "k": 0}, "greater than or equal to 1"),
        ({"user_id": "u", "k": 101}, "at most 100 are allowed (serve.max_k)"),
        ({"user_id": "u", "n": 3}, "Extra inputs are not permitted"),
        ({"history": [{"item_id": "i1", "event_time": "2999-01-01T00:00:00Z"}]}, "is in the future"),
        ({"history": [{"item_id": "i1", "event_time": "2024-01-01T00:00:00"}]}, "should have timezone info"),
        ({"history": [{"item_id": "i1"}] * 1001}, "at most 1000 items"),
    ],
)
def test_recommendations_malformed_request_is_a_clear_422(call, body, message):
    answer = call("POST", "/v1/recommendations", json=body)
    assert answer.status_code == 422
    assert message in answer.text


def test_body_that_is_too_long_is_refused_before_it_is_read(call):
    answer = call("POST", "/v1/recommendations", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


def test_infer_json_answers_items_scores_and_parameters(call):
    answer = call("POST", "/v2/models/recommender/infer", json=v2(k=2)).json()
    assert [(one["name"], one["shape"], one["data"]) for one in answer["outputs"]] == [
        ("items", [1, 2], ["i3", "i2"]),
        ("scores", [1, 2], [2.0, 0.0]),
    ]
    parameters = answer["parameters"]
    assert (parameters["route"], parameters["version"], parameters["narrative_version"]) == (
        "student",
        "v1",
        "verbalizer-1",
    )
    assert answer["id"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (v2(["a", "b"]), "user_id has 2 elements"),
        (v2([""]), "send exactly one id that is not empty"),
        (v2(k=0), "parameter k is '0'"),
        (v2(k="five"), "parameter k is 'five'"),
        ({"inputs": []}, "input 'user_id' is missing"),
        ({}, "the body is no V2 inference request: inputs"),
        ([], "the body is no V2 inference request"),
    ],
)
def test_infer_malformed_request_is_a_clear_400(call, body, message):
    answer = call("POST", "/v2/models/recommender/infer", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_infer_broken_binary_body_is_a_400(call):
    for header in ("999", "no number", "-4"):
        answer = call(
            "POST",
            "/v2/models/recommender/infer",
            content=b'{"inputs": [{"name": "user_id"}]}',
            headers={"inference-header-content-length": header},
        )
        assert answer.status_code == 400


def test_metadata_live_and_ready_answer(call):
    assert call("GET", "/v2").json()["name"] == "raconteur"
    assert call("GET", "/v2/health/live").json() == {"live": True}
    assert call("GET", "/v2/health/ready").json() == {"ready": True}
    assert call("GET", "/v2/models/recommender").json()["versions"] == ["v1"]
    assert call("GET", "/v2/models/recommender/ready").json() == {"name": "recommender", "ready": True}
    assert call("GET", "/v2/models/other").status_code == 404


def test_metrics_count_requests_by_pattern_not_by_made_up_path(call):
    numbers = iter((3, 4))

    def ask():
        call("POST", "/v1/recommendations", json={"user_id": "sure", "k": next(numbers)})  # not from the cache
        call("POST", "/v1/recommendations", json={})
        call("GET", "/made/up/7")
        return call("GET", "/metrics").text

    # The difference of two rounds: where another test imported Feast first, all registries of a process share values.
    before, after = ask(), ask()
    assert "made" not in after
    for series in (
        'raconteur_requests_total{path="/v1/recommendations",status="200"}',
        'raconteur_requests_total{path="/v1/recommendations",status="422"}',
        'raconteur_requests_total{path="other",status="404"}',
        'raconteur_recommendations_total{degraded="false",route="student"}',
        'raconteur_stage_seconds_count{stage="student"}',
    ):
        assert value_of(series, after) - value_of(series, before) == 1.0, series


def value_of(series, text):
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series + " "))


def test_events_empty_or_unnamed_are_refused(call):
    assert call("POST", "/v1/events", json={"user_id": "sure", "events": []}).status_code == 422
    assert call("POST", "/v1/events", json={"events": [{"item_id": "i1"}]}).status_code == 422


def test_loopback_is_only_asked_by_names_of_this_machine(call):
    answer = call("GET", "/healthz", headers={"host": "rebound.example"})
    assert answer.status_code == 400
