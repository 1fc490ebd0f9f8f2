"""Rankers behind a server that is down, hangs or answers garbage: a ServingError each time, and nothing else."""

import asyncio
import hashlib
import json
import struct

import grpc
import pytest
from backend_servers import HTTP_GARBAGE, answering, answering_grpc, http_answer
from backend_world import HISTORY_TOKENS, graph_of, untrained, write_light
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from raconteur.artifacts import Registry, new_folder
from raconteur.config.schema import BackendConfig, Config
from raconteur.errors import ArtifactError, ServingError
from serving.backends.build import ranker_of

REMOTE = ("kserve", "triton", "openai")
TEXT, IDS = "space war <item:i1>", ["i2", "ghost", "i1"]
PATIENT_S = 20.0

KSERVE = {
    "model_name": "reasoner",
    "parameters": {"version": "v7"},
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, -1e9, 2.0]}],
}
OPENAI = {
    "model": "reasoner",
    "choices": [{"text": "A", "logprobs": {"top_logprobs": [{"A": -0.5, "C": -1.5, " the": -3.0}]}}],
}
GOOD = {"kserve": KSERVE, "openai": OPENAI}


def changed(answer, path, value):
    """The answer with one place in it changed."""
    copy = json.loads(json.dumps(answer))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def said(answer):
    return http_answer(json.dumps(answer).encode())


def scored(data, shape=(1, 3)):
    return changed(changed(KSERVE, ("outputs", 0, "data"), data), ("outputs", 0, "shape"), list(shape))


KSERVE_GARBAGE = {
    "other model": changed(KSERVE, ("model_name",), "student"),
    "no version": changed(KSERVE, ("parameters",), {}),
    "no parameters": changed(KSERVE, ("parameters",), None),
    "empty version": changed(KSERVE, ("parameters", "version"), ""),
    "endless version": changed(KSERVE, ("parameters", "version"), "v" * 1000),
    "number for a version": changed(KSERVE, ("parameters", "version"), 7),
    "no outputs": changed(KSERVE, ("outputs",), []),
    "two outputs": changed(KSERVE, ("outputs",), KSERVE["outputs"] * 2),
    "other name": changed(KSERVE, ("outputs", 0, "name"), "items"),
    "other type": changed(KSERVE, ("outputs", 0, "datatype"), "BYTES"),
    "other shape": scored([0.5, -1e9, 2.0], shape=(3, 1)),
    "shape of one axis": scored([0.5, -1e9, 2.0], shape=(3,)),
    "fewer than asked": scored([0.5, -1e9], shape=(1, 2)),
    "fewer than its shape says": scored([0.5, -1e9]),
    "more than asked": scored([0.5, -1e9, 2.0, 1.0], shape=(1, 4)),
    "texts": scored(["0.5", "1", "2"]),
    "truths": scored([True, False, True]),
    "nothing": scored([None, None, None]),
    "nested": scored([[0.5, -1e9, 2.0]]),
    "not a number": scored([0.5, -1e9, float("nan")]),
    "all not a number": scored([float("nan")] * 3),
    "infinity": scored([0.5, -1e9, float("inf")]),
    "minus infinity": scored([0.5, -1e9, float("-inf")]),
    "beyond float32": scored([0.5, -1e9, 1e39]),
    "far below float32": scored([0.5, -1e9, -1e300]),
}
TOP = ("choices", 0, "logprobs", "top_logprobs")
OPENAI_GARBAGE = {
    "no model": changed(OPENAI, ("model",), None),
    "empty model": changed(OPENAI, ("model",), ""),
    "no choices": changed(OPENAI, ("choices",), []),
    "two choices": changed(OPENAI, ("choices",), OPENAI["choices"] * 2),
    "no logprobs": changed(OPENAI, ("choices", 0, "logprobs"), None),
    "no token": changed(OPENAI, TOP, []),
    "two tokens": changed(OPENAI, TOP, [{"A": -1.0, "B": -1.0, "C": -1.0}] * 2),
    "null token": changed(OPENAI, TOP, [None]),
    "no letter": changed(OPENAI, TOP, [{"the": -1.0, "a": -2.0, "of": -3.0}]),
    "too few tokens": changed(OPENAI, TOP, [{"A": -1.0, "B": -2.0}]),
    "text for a number": changed(OPENAI, TOP, [{"A": "-1", "B": -1.0, "C": -1.0}]),
    "not a number": changed(OPENAI, TOP, [{"A": float("nan"), "B": -1.0, "C": -1.0}]),
    "minus infinity": changed(OPENAI, TOP, [{"A": float("-inf"), "B": -1.0, "C": -1.0}]),
    "beyond float32": changed(OPENAI, TOP, [{"A": -1e39, "B": -1.0, "C": -1.0}]),
}


SERVED = str(int(hashlib.sha256(graph_of("v1")).hexdigest()[:12], 16))  # the version of the champion's export


def triton_answer(
    scores=(0.5, 9.0, 2.0), *, model="reasoner", version=SERVED, name="scores", datatype="FP32", shape=(1, 3)
):
    output = ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=shape)
    raw = struct.pack(f"<{len(scores)}f", *scores)
    return ModelInferResponse(model_name=model, model_version=version, outputs=[output], raw_output_contents=[raw])


TRITON_GARBAGE = {
    "no message": b"\xff\xff\xff what",
    "empty": b"",
    "failure": grpc.StatusCode.INTERNAL,
    "busy": grpc.StatusCode.UNAVAILABLE,
    "unknown to grpc": grpc.StatusCode.UNKNOWN,
    "huge": triton_answer([0.0] * 1_000_000).SerializeToString(),
    "other model": triton_answer(model="student").SerializeToString(),
    "no version": triton_answer(version="").SerializeToString(),
    "endless version": triton_answer(version="1" * 1000).SerializeToString(),
    "version of another export": triton_answer(version="1").SerializeToString(),
    "other name": triton_answer(name="items").SerializeToString(),
    "other type": triton_answer(datatype="FP64").SerializeToString(),
    "other shape": triton_answer(shape=(3,)).SerializeToString(),
    "fewer bytes": triton_answer([0.5, 9.0]).SerializeToString(),
    "more bytes": triton_answer([0.5, 9.0, 2.0, 1.0]).SerializeToString(),
    "bytes of no whole number": ModelInferResponse(
        model_name="reasoner",
        model_version=SERVED,
        outputs=triton_answer().outputs,
        raw_output_contents=[b"13 bytes long"],
    ).SerializeToString(),
    "no bytes": ModelInferResponse(
        model_name="reasoner", model_version=SERVED, outputs=triton_answer().outputs
    ).SerializeToString(),
    "not a number": triton_answer([0.5, 9.0, float("nan")]).SerializeToString(),
    "all not a number": triton_answer([float("nan")] * 3).SerializeToString(),
    "infinity": triton_answer([float("-inf"), 9.0, 2.0]).SerializeToString(),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    write_light(root / "models", "v1").promote("v1", cause="test")
    return Config(workdir=root)


def opened(kind, config, port):
    url = f"127.0.0.1:{port}" if kind == "triton" else f"http://127.0.0.1:{port}"
    # The light version has the prompts of a student alone; the model's name on the server is free.
    name = "student" if kind == "triton" else "reasoner"
    return ranker_of(name, BackendConfig(kind=kind, url=url, model="reasoner"), config)


async def ask(kind, config, port, *, timeout_s=PATIENT_S):
    ranker = opened(kind, config, port)
    try:
        return await ranker.score(TEXT, IDS, timeout_s=timeout_s)
    finally:
        await ranker.close()


def refused_over_http(kind, config, answer):
    async def story():
        async with answering(answer) as (port, asked):
            with pytest.raises(ServingError) as refusal:
                await ask(kind, config, port)
            assert asked, "the server was not asked"
            return str(refusal.value)

    return asyncio.run(story())


@pytest.mark.parametrize("kind", ["kserve", "openai"])
def test_http_good_answer_is_taken(kind, config):
    """What the garbage below differs from."""

    async def story():
        async with answering(said(GOOD[kind])) as (port, _):
            return await ask(kind, config, port)

    scores, version = asyncio.run(story())
    expected = {"kserve": ([0.5, None, 2.0], "v7"), "openai": ([-0.5, None, -1.5], "v1+reasoner")}
    assert ([None if score != score else score for score in scores.tolist()], version) == expected[kind]


@pytest.mark.parametrize("kind", ["kserve", "openai"])
@pytest.mark.parametrize("answer", HTTP_GARBAGE.values(), ids=HTTP_GARBAGE.keys())
def test_http_garbage_is_a_serving_error(kind, answer, config):
    message = refused_over_http(kind, config, answer)
    assert message.startswith("reasoner ")
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("answer", KSERVE_GARBAGE.values(), ids=KSERVE_GARBAGE.keys())
def test_kserve_answer_out_of_protocol_is_a_serving_error(answer, config):
    message = refused_over_http("kserve", config, said(answer))
    assert message.startswith(("reasoner answered", "reasoner scored candidate"))


@pytest.mark.parametrize("answer", OPENAI_GARBAGE.values(), ids=OPENAI_GARBAGE.keys())
def test_openai_answer_out_of_protocol_is_a_serving_error(answer, config):
    assert refused_over_http("openai", config, said(answer)).startswith("reasoner ")


@pytest.mark.parametrize("kind", ["kserve", "openai"])
def test_http_answer_that_is_huge_is_not_read_to_its_end(kind, config):
    """A good answer, but for two million spaces behind it."""
    answer = http_answer(json.dumps(GOOD[kind]).encode() + b" " * 2_000_000)
    assert refused_over_http(kind, config, answer) == "reasoner answered more than 1048576 bytes"


@settings(max_examples=40)
@given(body=st.binary(max_size=300), kind=st.sampled_from(["kserve", "openai"]))
def test_http_any_bytes_are_a_serving_error(body, kind, config):
    refused_over_http(kind, config, http_answer(body))


places = st.sampled_from(
    [
        (kind, path)
        for kind, paths in {
            "kserve": [
                ("model_name",),
                ("parameters",),
                ("outputs",),
                ("outputs", 0),
                ("outputs", 0, "data"),
                ("outputs", 0, "shape"),
            ],
            "openai": [("model",), ("choices",), ("choices", 0), ("choices", 0, "logprobs"), TOP, (*TOP, 0)],
        }.items()
        for path in paths
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(place=places, value=anything)
def test_http_answer_with_one_place_mutated_is_refused_or_finite(place, value, config):
    kind, path = place

    async def story():
        async with answering(said(changed(GOOD[kind], path, value))) as (port, _):
            try:
                scores, version = await ask(kind, config, port)
            except ServingError:
                return
            assert scores.shape == (3,)
            assert abs(scores[[0, 2]]).max() < float("inf")
            assert version

    asyncio.run(story())


def test_triton_good_answer_is_taken_as_bytes_and_as_numbers(config):
    as_numbers = triton_answer()
    del as_numbers.raw_output_contents[:]
    as_numbers.outputs[0].contents.fp32_contents.extend([0.5, 9.0, 2.0])

    async def story(answer):
        async with answering_grpc(answer.SerializeToString()) as (port, _):
            return await ask("triton", config, port)

    for answer in (triton_answer(), as_numbers):
        scores, version = asyncio.run(story(answer))
        assert [None if score != score else score for score in scores.tolist()] == [0.5, None, 2.0]
        assert version == "v1"


def test_triton_server_with_an_older_export_than_the_champion_is_refused_until_it_has_the_new_one(tmp_path):
    write_light(tmp_path / "models", "v1").promote("v1", cause="test")
    config = Config(workdir=tmp_path)
    newer = str(int(hashlib.sha256(graph_of("v2")).hexdigest()[:12], 16))

    async def story():
        answers = {version: triton_answer(version=version).SerializeToString() for version in (SERVED, newer)}
        async with answering_grpc(answers[SERVED]) as (port, _):
            assert (await ask("triton", config, port))[1] == "v1"
            write_light(tmp_path / "models", "v2").promote("v2", cause="test")
            with pytest.raises(ServingError) as refusal:
                await ask("triton", config, port)
        async with answering_grpc(answers[newer]) as (port, _):
            assert (await ask("triton", config, port))[1] == "v2"
        return str(refusal.value)

    assert asyncio.run(story()) == (
        f"student answered with version '{SERVED}' of another export; the champion v2 is {newer}: "
        "load its export (`raconteur export --to triton`)"
    )


def test_triton_champion_whose_student_is_no_graph_is_refused(tmp_path):
    with new_folder(tmp_path / "models" / "v1", artefact="version") as folder:
        (folder / "student").mkdir()
        untrained().save(folder / "student")
    Registry(tmp_path / "models").promote("v1", cause="test")
    with pytest.raises(ArtifactError, match=r"student holds no model\.onnx"):
        opened("triton", Config(workdir=tmp_path), 1)


def test_triton_requests_of_any_texts_have_the_same_shapes_so_that_the_server_can_batch_them(config):
    async def story():
        async with answering_grpc(triton_answer().SerializeToString()) as (port, asked):
            ranker = opened("triton", config, port)
            for text in ("", TEXT, "drama " * 500):
                await ranker.score(text, IDS, timeout_s=PATIENT_S)
            await ranker.close()
            return [ModelInferRequest.FromString(request) for request in asked]

    shapes = {
        tuple((one.name, one.datatype, tuple(one.shape)) for one in request.inputs) for request in asyncio.run(story())
    }
    length = HISTORY_TOKENS + len(IDS) + 2  # <choose> and <answer>
    assert shapes == {(("ids", "INT64", (1, length)), ("choose", "INT64", (1, 1)), ("candidates", "INT64", (1, 3)))}


@pytest.mark.parametrize("answer", TRITON_GARBAGE.values(), ids=TRITON_GARBAGE.keys())
def test_triton_garbage_is_a_serving_error(answer, config):
    async def story():
        async with answering_grpc(answer) as (port, _):
            with pytest.raises(ServingError, match=r"^student "):
                await ask("triton", config, port)

    asyncio.run(story())


def test_triton_server_that_speaks_no_grpc_is_a_serving_error(config):
    async def story():
        async with answering(http_answer(b"<html>")) as (port, _):
            with pytest.raises(ServingError, match=r"^student "):
                await ask("triton", config, port)

    asyncio.run(story())


@pytest.mark.parametrize("kind", REMOTE)
def test_server_that_is_down_is_a_serving_error(kind, config, free_ports):
    with pytest.raises(ServingError, match="failed"):
        asyncio.run(ask(kind, config, free_ports(1)[0]))


@pytest.mark.parametrize("kind", REMOTE)
def test_server_that_hangs_is_left_after_the_timeout(kind, config):
    async def story():
        async with answering(b"", then_silent=True) as (port, _):
            with pytest.raises(ServingError, match="gave no answer within 200 ms"):
                async with asyncio.timeout(PATIENT_S):
                    await ask(kind, config, port, timeout_s=0.2)

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["kserve", "openai"])
def test_server_that_begins_and_never_ends_is_left_after_the_timeout(kind, config):
    async def story():
        beginning = said(GOOD[kind])[:-10]
        async with answering(beginning, then_silent=True) as (port, _):
            with pytest.raises(ServingError, match="gave no answer within 200 ms"):
                async with asyncio.timeout(PATIENT_S):
                    await ask(kind, config, port, timeout_s=0.2)

    asyncio.run(story())


@pytest.mark.parametrize("kind", REMOTE)
def test_server_that_comes_back_is_found_again(kind, config, free_ports):
    """Without a restart of the recommender; within 20 s also where the client waits between tries to connect."""
    (port,) = free_ports(1)

    async def story():
        ranker = opened(kind, config, port)
        good = (
            answering_grpc(triton_answer().SerializeToString(), port=port)
            if kind == "triton"
            else answering(said(GOOD[kind]), port=port)
        )
        try:
            for _ in range(5):
                with pytest.raises(ServingError):
                    await ranker.score(TEXT, IDS, timeout_s=PATIENT_S)
            async with good:
                for _ in range(200):
                    try:
                        return await ranker.score(TEXT, IDS, timeout_s=PATIENT_S)
                    except ServingError:
                        await asyncio.sleep(0.1)
        finally:
            await ranker.close()

    assert asyncio.run(story()) is not None
