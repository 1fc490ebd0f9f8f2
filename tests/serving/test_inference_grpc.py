"""The gRPC face of the recommender over the four-film world: an unchanged tritonclient, and each way to be refused."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from local_service import open_local, user
from serving_world import write_version

from raconteur.errors import ServingError
from serving.door.access import PASS, Decision
from serving.door.dataplane import recommend_request
from serving.door.inference_grpc import decode, grpc_server
from serving.door.readiness import Readiness

CLIENT = Path(__file__).parent / "triton_grpc_recommender.py"


def let_in(method, path, headers):
    return PASS


@pytest.fixture
def talk(tmp_path):
    """Runs a conversation with a server that is up: an async function of a stub and of what it talks to."""
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")

    def run(conversation, *, decide=let_in, opened=True, **serve):
        async def once():
            service, store, student, _ = open_local(tmp_path, **serve)
            store.users = {"sure": user("sure", ["i1"], "court court")}
            readiness = Readiness()
            if opened:
                readiness.open()
            try:
                async with grpc_server(service, readiness, address="127.0.0.1:0", decide=decide) as port:
                    address = f"127.0.0.1:{port}"
                    async with grpc.aio.insecure_channel(address) as channel:
                        server = SimpleNamespace(address=address, readiness=readiness, service=service, student=student)
                        return await conversation(GRPCInferenceServiceStub(channel), server)
            finally:
                await service.close()

        return asyncio.run(once())

    return run


def request(user_ids=("sure",), history=None, model="recommender", **parameters):
    def tensor(name, values):
        return {
            "name": name,
            "datatype": "BYTES",
            "shape": [len(values)],
            "contents": {"bytes_contents": [value.encode() for value in values]},
        }

    kinds = {bool: "bool_param", int: "int64_param", str: "string_param"}
    inputs = [tensor("user_id", user_ids)] if user_ids is not None else []
    inputs += [tensor("history", [history])] if history is not None else []
    return pb.ModelInferRequest(
        model_name=model,
        inputs=inputs,
        parameters={name: pb.InferParameter(**{kinds[type(value)]: value}) for name, value in parameters.items()},
    )


def value_of(series, text):
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series + " ")), 0.0)


def items_of(response):
    [items] = [
        raw
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        if output.name == "items"
    ]
    found = []
    while items:
        length = int.from_bytes(items[:4], "little")
        found.append(items[4 : 4 + length].decode())
        items = items[4 + length :]
    return found


def refusal(talk, message, **options):
    """Status and text of a call that is refused."""

    async def conversation(stub, *_):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(message, timeout=20)
        return caught.value.code(), caught.value.details()

    return talk(conversation, **options)


def test_triton_client_gets_health_metadata_and_the_ranking(talk):
    async def conversation(stub, server):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CLIENT), server.address, "sure", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return json.loads(out or "null")

    assert talk(conversation) == {
        "live": True,
        "ready": True,
        "model_ready": True,
        "server": "raconteur",
        "inputs": ["user_id", "history"],
        "outputs": ["items", "scores", "reasons"],
        "versions": ["v1"],
        "items": ["i3", "i2"],
        "scores": [2.0, 0.0],
        "route": "student",
    }


def test_history_of_a_user_that_nobody_knows_is_ranked(talk):
    """A take of "court drama" (i3): only i3's own words count, and i3 itself is not proposed again."""

    async def conversation(stub, *_):
        return await stub.ModelInfer(request(None, '[{"item_id": "i3", "event_time": "2024-05-01T00:00:00Z"}]', k=3))

    response = talk(conversation)
    assert response.parameters["route"].string_param != "cold"
    assert "i3" not in items_of(response)


def test_explain_adds_a_reason_for_each_item(talk):
    async def conversation(stub, *_):
        return await stub.ModelInfer(request(k=2, explain=True)), await stub.ModelInfer(request(k=2))

    explained, plain = talk(conversation)
    assert [(one.name, list(one.shape)) for one in explained.outputs] == [
        ("items", [1, 2]),
        ("scores", [1, 2]),
        ("reasons", [1, 2]),
    ]
    assert [one.name for one in plain.outputs] == ["items", "scores"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (request(["a", "b"]), "user_id has 2 elements"),
        (request(None), "input 'user_id' is missing"),
        (request(k=0), "parameter k is '0'"),
        (request(k=101), "from 1 to 100"),
        (request(k="5"), "parameter k is '5'"),
        (request(k=True), "parameter k is 'True'"),
        (request(latency_budget_ms=0), "parameter latency_budget_ms is"),
        (request(budget=3), "parameter 'budget' is unknown; known are explain, k, latency_budget_ms, query"),
        (request(None, "no json"), "history is no JSON"),
        (request(None, "{}"), "expected a list of events"),
        (request(None, '[{"item": 3}]'), "history.0.item_id"),
        (
            pb.ModelInferRequest(model_name="recommender", parameters={"k": pb.InferParameter()}),
            "parameter k has a type that V2 does not know",
        ),
        (
            pb.ModelInferRequest(
                model_name="recommender",
                inputs=[{"name": "user_id", "datatype": "BYTES", "shape": [1]}],
                raw_input_contents=[b"\xff\xff\xff\xffx"],
            ),
            "",
        ),
    ],
)
def test_malformed_request_is_an_invalid_argument_that_says_what_is_wrong(talk, message, said):
    status, text = refusal(talk, message)
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert said in text


def test_other_model_is_not_found(talk):
    assert refusal(talk, request(model="student"))[0] == grpc.StatusCode.NOT_FOUND


def test_call_without_a_place_is_resource_exhausted(talk):
    async def conversation(stub, server):
        before = server.service.metrics.text(version="v1").decode()
        with server.readiness.request(), pytest.raises(grpc.aio.AioRpcError) as caught:  # the one place is taken
            await stub.ModelInfer(request())
        await stub.ModelInfer(request())  # and free again
        return caught.value.code(), before, server.service.metrics.text(version="v1").decode()

    status, before, after = talk(conversation, max_waiting=1)
    assert status == grpc.StatusCode.RESOURCE_EXHAUSTED
    for series in (
        'raconteur_requests_total{path="/inference.GRPCInferenceService/ModelInfer",status="429"}',
        'raconteur_requests_total{path="/inference.GRPCInferenceService/ModelInfer",status="200"}',
        'raconteur_shed_requests_total{cause="queue"}',
    ):
        assert value_of(series, after) - value_of(series, before) == 1.0, series


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (503, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_call_that_the_door_refuses_gets_its_status_text_and_headers(talk, status, expected):
    asked = []

    def decide(method, path, headers):
        asked.append((method, path, headers.get("x-api-key")))
        return Decision(status, error="not you", headers={"retry-after": "3"})

    async def conversation(stub, *_):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request(), metadata=(("x-api-key", "secret"),))
        return caught.value.code(), caught.value.details(), dict(caught.value.trailing_metadata())

    assert talk(conversation, decide=decide) == (expected, "not you", {"retry-after": "3"})
    assert asked == [("POST", "/inference.GRPCInferenceService/ModelInfer", "secret")]


def test_before_it_is_loaded_it_is_live_but_not_ready_and_refuses_calls(talk):
    async def conversation(stub, *_):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request())
        live = await stub.ServerLive(pb.ServerLiveRequest())
        ready = await stub.ServerReady(pb.ServerReadyRequest())
        model = await stub.ModelReady(pb.ModelReadyRequest(name="recommender"))
        return live.live, ready.ready, model.ready, caught.value.code()

    assert talk(conversation, opened=False) == (True, False, False, grpc.StatusCode.UNAVAILABLE)


def test_deadline_is_the_latency_budget_so_an_answer_comes_before_it(talk):
    """A student that hangs is given up in time for the retriever's order to reach the client."""

    async def hang(*_, timeout_s):
        await asyncio.sleep(timeout_s)
        raise ServingError(f"student failed: no answer within {timeout_s} s")

    async def conversation(stub, server):
        server.student.score = hang
        answer = await stub.ModelInfer(request(latency_budget_ms=50_000), timeout=4)
        return answer.parameters["route"].string_param, answer.parameters["degraded"].bool_param

    assert talk(conversation, timeout_ms=100_000) == ("retriever", True)


def test_second_server_on_a_taken_address_is_refused_with_its_setting(talk):
    async def conversation(stub, server):
        other = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        address = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
        with pytest.raises(ServingError, match=r"serve\.grpc_port"):
            async with grpc_server(server.service, server.readiness, address=address, decide=let_in):
                pass
        other.close()

    talk(conversation)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.booleans())
def test_mutated_message_is_read_or_an_invalid_input(changes, raw):
    """Whatever a client sends, the fault is the client's: nothing else is ever raised."""
    message = request(history='[{"item_id": "i1"}]', k=2, query="war")
    if raw:
        message.raw_input_contents.extend([b"\x04\0\0\0sure", b"\x02\0\0\0[]"])
        for one in message.inputs:
            one.ClearField("contents")
    body = bytearray(message.SerializeToString())
    for place, value in changes:
        body[place % len(body)] = value
    try:
        mutated = pb.ModelInferRequest.FromString(bytes(body))
    except DecodeError:
        return  # gRPC refuses it before we see it
    with contextlib.suppress(InvalidInput):
        recommend_request(decode(mutated), max_k=50)
