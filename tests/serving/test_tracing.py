"""One trace from the client through a recommender to a real KServe model server; and nothing of it where it is off."""

import asyncio
import contextvars
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kserve import InferenceRESTClient
from kserve.inference_client import RESTConfig
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from otlp_collector import Collector, attributes_of
from serving_world import write_version

from raconteur.errors import ConfigError, ServingError
from serving.protocol import ranking_request
from serving.records import tracing
from serving.records.json_log import outgoing_headers
from serving.records.tracing import annotate, inject, server_span, span, start_tracing, stop_tracing, trace_id

SECRET = "user-4711"
TEXT = "space war of a secret taste"
CANDIDATES = ["i1", "i2", "i4"]
CLIENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT_SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"  # the example of the W3C recommendation


@pytest.fixture(scope="module")
def world():
    """The collector of the model server and the tests."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def student(world, tmp_path_factory, start_ranker):
    """A model server that traces: its REST and gRPC port."""
    models = tmp_path_factory.mktemp("models")
    write_version(models, "v1").promote("v1", cause="test")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(tracing.ENDPOINT, world.url)
        return start_ranker("student", models)[1:]


@pytest.fixture
def traced(world, monkeypatch):
    """Tracing in this process, sent to the collector."""
    monkeypatch.setenv(tracing.ENDPOINT, world.url)
    start_tracing("recommender")
    yield world
    stop_tracing()


@pytest.fixture
def collector(monkeypatch):
    """A collector of this test alone, named in the environment."""
    one = Collector()
    monkeypatch.setenv(tracing.ENDPOINT, one.url)
    yield one
    stop_tracing()
    one.close()


def recommender(student_port):
    """An ASGI app as the recommender is one: stages around awaits and threads, and a call of the student."""
    app, threads = FastAPI(), ThreadPoolExecutor(1)
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))

    @app.post("/v1/recommendations")
    async def recommend(request: Request):
        with server_span(request.headers, "recommend"):
            with span("retrieve", num_candidates=len(CANDIDATES)):
                inside = contextvars.copy_context().run
                found = await asyncio.get_running_loop().run_in_executor(threads, inside, trace_id)
            with span("student"):
                await client.infer(
                    f"http://127.0.0.1:{student_port}",
                    ranking_request([TEXT], [CANDIDATES], model="student"),
                    model_name="student",
                    headers=outgoing_headers(),
                )
            annotate(route="student", degraded=False)
            return {"trace_id": trace_id(), "in_thread": found}

    return app


def ask(app, headers):
    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            answer = await client.post("/v1/recommendations", json={"user_id": SECRET}, headers=headers)
            return answer.raise_for_status().json()

    return asyncio.run(once())


def spans_of(collector, trace, count):
    """The spans of a trace by name, once there are so many; model servers send theirs every second."""
    deadline = time.monotonic() + 30
    while len(found := [(service, one) for service, one in collector.spans() if one.trace_id.hex() == trace]) < count:
        assert time.monotonic() < deadline, [one.name for _, one in found]
        time.sleep(0.05)
    return {one.name: (service, one) for service, one in found}


def test_trace_client_recommender_and_model_server_share_one_id_and_form_a_chain(traced, student):
    answer = ask(recommender(student[0]), {"traceparent": TRACEPARENT})
    stop_tracing()
    spans = spans_of(traced, CLIENT_TRACE, 5)

    assert answer == {"trace_id": CLIENT_TRACE, "in_thread": CLIENT_TRACE}
    assert {name: service for name, (service, _) in spans.items()} == {
        "recommend": "raconteur-recommender",
        "retrieve": "raconteur-recommender",
        "student": "raconteur-recommender",
        "student.predict": "raconteur-student",
        "score": "raconteur-student",
    }
    parents = {
        "retrieve": "recommend",
        "student": "recommend",
        "student.predict": "student",
        "score": "student.predict",
    }
    assert spans["recommend"][1].parent_span_id.hex() == CLIENT_SPAN
    for child, parent in parents.items():
        assert spans[child][1].parent_span_id == spans[parent][1].span_id, child


def test_trace_attributes_are_counts_routes_and_versions_and_hold_no_user_and_no_text(traced, student):
    answer = ask(recommender(student[0]), {})
    stop_tracing()
    spans = {name: attributes_of(one) for name, (_, one) in spans_of(traced, answer["trace_id"], 5).items()}

    assert spans == {
        "recommend": {"route": "student", "degraded": False},
        "retrieve": {"num_candidates": 3},
        "student": {},
        "student.predict": {"num_texts": 1, "num_candidates": 3, "num_waiting": 0},
        "score": {"num_texts": 1, "version": "v1"},
    }
    sent = b"".join(traced.bodies)
    assert SECRET.encode() not in sent
    assert TEXT.encode() not in sent


def test_trace_grpc_metadata_carries_the_context_too(traced, student):
    async def infer():
        async with grpc.aio.insecure_channel(f"127.0.0.1:{student[1]}") as channel:
            stub = GRPCInferenceServiceStub(channel)
            with span("client"):
                request = ranking_request([TEXT], [CANDIDATES], model="student").to_grpc()
                await stub.ModelInfer(request, metadata=tuple(inject({}).items()))
                return trace_id()

    trace = asyncio.run(infer())
    stop_tracing()
    spans = spans_of(traced, trace, 3)
    assert spans["student.predict"][1].parent_span_id == spans["client"][1].span_id


def test_trace_error_leaves_its_type_and_not_its_message(collector):
    start_tracing("recommender")
    with pytest.raises(ServingError), span("student"):
        raise ServingError(f"{SECRET} was not served")
    stop_tracing()
    [(_, failed)] = collector.spans()
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert attributes_of(failed) == {"error.type": "ServingError"}
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_trace_requests_at_the_same_time_are_not_mixed(collector):
    start_tracing("recommender")

    async def request(number):
        with server_span({"traceparent": f"00-{number:032x}-{CLIENT_SPAN}-01"}, "recommend"):
            with span("retrieve"):
                await asyncio.sleep(0)
            return trace_id()

    async def several():
        return await asyncio.gather(*(request(number) for number in range(1, 21)))

    assert asyncio.run(several()) == [f"{number:032x}" for number in range(1, 21)]


@given(header=st.one_of(st.text(max_size=600), st.just("00-" + "0" * 32 + "-" + "0" * 16 + "-01")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trace_malformed_traceparent_starts_a_trace_of_its_own(traced, header):
    with server_span({"traceparent": header}, "recommend"):
        assert trace_id() not in (None, "0" * 32)


def test_trace_collector_that_is_down_costs_no_answer(free_ports, monkeypatch, student):
    [nobody] = free_ports(1)
    monkeypatch.setenv(tracing.ENDPOINT, f"http://127.0.0.1:{nobody}")
    start_tracing("recommender")
    try:
        for _ in range(3):
            assert ask(recommender(student[0]), {})["trace_id"]
    finally:
        stop_tracing()


def test_trace_collector_that_hangs_holds_back_no_answer_and_no_end(collector, student, monkeypatch):
    monkeypatch.setattr(tracing, "SEND_WITHIN_S", 1000.0)  # so that waiting for it would last until it lets go
    collector.answers.clear()
    start_tracing("recommender")
    ask(recommender(student[0]), {})
    assert collector.asked.wait(30)
    for _ in range(3):
        assert ask(recommender(student[0]), {})["trace_id"]  # comes although the collector answers nothing
    stop_tracing()
    assert not collector.bodies  # it was never released, and all of the above has returned


def test_trace_collector_that_hangs_fills_a_bounded_queue(collector):
    collector.answers.clear()
    start_tracing("recommender")
    num_spans = 5 * tracing.MAX_WAITING
    for _ in range(num_spans):
        with span("retrieve"):
            pass
    collector.answers.set()
    stop_tracing()
    assert 0 < len(collector.spans()) <= 2 * tracing.MAX_WAITING


def test_tracing_off_spans_are_one_shared_object_and_headers_stay_as_they_are(monkeypatch):
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    start_tracing("recommender")
    assert span("retrieve", num_candidates=3) is server_span({"traceparent": TRACEPARENT}, "recommend")
    with span("retrieve"), span("again"):
        annotate(route="student")
        assert inject({"a": "b"}) == {"a": "b"}
        assert trace_id() is None


def test_tracing_off_model_server_imports_no_sdk(monkeypatch):
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    code = """
import sys
from serving.models import model_server
from serving.records import tracing
model_server.start_tracing("student")
with tracing.server_span({}, "student.predict"):
    pass
sys.exit(str([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_tracing_bad_setting_is_one_clear_error(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(ConfigError, match=r"tracing .* cannot start"):
        start_tracing("recommender")
