"""The Verbalizer behind a real KServe server, asked by tritonclient, by plain JSON and by the refresh's own client."""

import asyncio
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import tritonclient.http as triton_http
from kserve.errors import InvalidInput, ModelNotReady
from otlp_collector import Collector, attributes_of
from prometheus_client import CollectorRegistry
from transformers import Qwen3ForCausalLM
from verbalizer_world import Counting, write_version

from raconteur.artifacts import Registry, content_version, new_folder, read_manifest
from raconteur.config.schema import DataConfig, TextConfig
from raconteur.errors import ArtifactError
from raconteur.represent.citations import VOCABULARY
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.types import Event, History
from serving.backends.verbalizer import KServeVerbalizer
from serving.follow import Loaded
from serving.models.verbalizer import MAX_WAITING, VerbalizerModel, Writer, open_verbalizer
from serving.narration import MAX_EVENTS, Author, narration_request, read_narration_request
from serving.records import tracing
from serving.records.metrics import ModelMetrics

HERE = Path(__file__).parent
START = datetime(2024, 5, 1, tzinfo=UTC)
EVENT = {"item_id": "i2", "event_time": "2024-05-01T00:00:00Z", "event_type": "play"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of the W3C recommendation
HISTORY = History("ann", (Event("i1", START, "play", 2.5, "s1", {"device": "tv"}), Event("i2", START, "look")))


@pytest.fixture(scope="module")
def server(tmp_path_factory, start, free_ports):
    """REST and gRPC port, and the registry that is followed."""
    models = tmp_path_factory.mktemp("models")
    write_version(models, "v1", word="saw").promote("v1", cause="test")
    port, grpc_port = free_ports(2)
    command = [sys.executable, str(HERE / "verbalizer_world.py"), str(models), str(port), str(grpc_port)]
    start(command, ready=f"http://127.0.0.1:{port}/v2/models/verbalizer/ready")
    return port, grpc_port, models


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server[0]}/v2/models/verbalizer/infer"


def line(*events):
    return json.dumps({"events": events or [EVENT]})


def body(*histories):
    return {"inputs": [{"name": "history", "shape": [len(histories)], "datatype": "BYTES", "data": list(histories)}]}


def test_infer_json_gives_a_text_a_history_and_says_who_wrote_it(server, url):
    answer = httpx.post(url, json=body(line(EVENT, {**EVENT, "item_id": "i9"}), line())).raise_for_status().json()
    assert answer["outputs"][0]["data"] == ["saw 2 events, the last of i9", "saw 1 events, the last of i2"]
    written_by = content_version(server[2] / "v1" / "verbalizer")
    assert answer["parameters"] == {
        "version": "v1",
        "verbalizer_version": written_by,
        "catalogue_version": "catalogue-7",
    }


def test_infer_triton_http_binary_gives_the_same_text(server):
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server[0]}")
    history = triton_http.InferInput("history", [1], "BYTES")
    history.set_data_from_numpy(np.array([line()], dtype=object))
    assert client.is_model_ready("verbalizer")
    assert client.infer("verbalizer", [history]).as_numpy("text").tolist() == [b"saw 1 events, the last of i2"]


def test_infer_triton_grpc_gives_the_same_text(server):
    command = [sys.executable, str(HERE / "triton_grpc_verbalizer.py"), f"127.0.0.1:{server[1]}", line()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expected = {"text": ["saw 1 events, the last of i2"], "version": "v1"}
    assert json.loads(done.stdout or "null") == expected, done.stderr


def test_metadata_names_inputs_and_outputs(server):
    metadata = httpx.get(f"http://127.0.0.1:{server[0]}/v2/models/verbalizer").json()
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]] == [("history", "BYTES", [-1])]
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["outputs"]] == [("text", "BYTES", [-1])]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (body(*[line()] * 17), "history has 17 elements"),
        (body("{"), "Invalid JSON"),
        (body("[]"), "a history is not as expected"),
        (body(json.dumps({"events": [], "user_id": "ann"})), "user_id: Extra inputs are not permitted"),
        (body(line({**EVENT, "colour": "red"})), "events.0.colour: Extra inputs"),
        (body(line({**EVENT, "event_time": "2024-05-01T00:00:00"})), "events.0.event_time"),
        (body(line({**EVENT, "value": "2"})), "events.0.value"),
        (body('{"events": [{"item_id": "i", "event_time": "2024-05-01T00:00:00Z", "event_type": "p", "value": NaN}]}'),
         "not as expected"),
        (body(line({**EVENT, "item_id": ""})), "events.0.item_id"),
        (body(line(*[EVENT] * (MAX_EVENTS + 1))), "events: List should have at most 100 items"),
        (body(line({**EVENT, "context": {"k": "x" * 200_000}})), "a string of"),
        (body(3), "does not hold UTF-8 strings"),
        ({"inputs": [{**body(line())["inputs"][0], "shape": [1, 1]}]}, "expected BYTES of 1 dimension"),
        ({"inputs": []}, "input 'history' is missing"),
    ],
)  # fmt: skip
def test_infer_malformed_request_is_a_clear_400(url, request_body, message):
    answer = httpx.post(url, json=request_body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_infer_refusal_repeats_nothing_of_the_history(url):
    assert "secret" not in httpx.post(url, json=body(line({**EVENT, "value": "secret"}))).text


def test_history_survives_the_wire_without_its_user():
    assert read_narration_request(narration_request([HISTORY], model="verbalizer")) == [History("", HISTORY.events)]


def test_history_longer_than_the_server_takes_keeps_its_newest_events():
    events = tuple(Event(f"i{number}", START, "play") for number in range(MAX_EVENTS + 5))
    [read] = read_narration_request(narration_request([History("ann", events)], model="verbalizer"))
    assert read.events == events[5:]


def test_open_verbalizer_of_a_champion_without_one_is_an_artifact_error(tmp_path):
    from serving_world import write_version as write_rankers

    write_rankers(tmp_path, "v1").promote("v1", cause="test")
    with pytest.raises(ArtifactError, match="no readable Verbalizer"):
        open_verbalizer(tmp_path, ModelMetrics(CollectorRegistry()))


def test_open_verbalizer_names_a_trained_one_as_the_narrate_step_does(tmp_path):
    """`narrate` takes the checksum of the weights; a text of the same Verbalizer must carry the same version."""
    tokenizer = train_tokenizer([" 2d play 43 tv"] * 20, [*map(mention, ["i1", "i2"]), *VOCABULARY], 300)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(body_config(tokenizer.get_vocab_size(), 1, 16, 2))
    facts = Facts({"i1": ("drama",), "i2": ("war",)}, DataConfig())
    trained = RewriteVerbalizer(model, for_transformers(tokenizer), facts, TextConfig(), max_new_tokens=8)
    with new_folder(tmp_path / "v1", catalogue_version="c1") as folder, new_folder(folder / "verbalizer") as verbalizer:
        trained.save(verbalizer)
    Registry(tmp_path).promote("v1", cause="test")
    registry = CollectorRegistry()
    served = open_verbalizer(tmp_path, ModelMetrics(registry))
    response = asyncio.run(served.predict(narration_request([HISTORY], model="verbalizer")))
    served.stop()
    weights = read_manifest(tmp_path / "v1" / "verbalizer")["files"]["model.safetensors"]
    assert response.parameters == {"version": "v1", "verbalizer_version": weights[:12], "catalogue_version": "c1"}
    assert response.outputs[0].as_numpy().tolist() == trained.write([HISTORY])
    # Prompt and what was written, as the same model counts them here.
    assert (
        registry.get_sample_value("raconteur_tokens_read_total", {"model": "verbalizer"}) == trained.num_tokens_read > 0
    )


class Slow(Counting):
    """Writes when it is let go."""

    def __init__(self):
        super().__init__("saw")
        self.go = threading.Event()

    def write(self, histories):
        assert self.go.wait(timeout=30)
        return super().write(histories)


class Still:
    """What a Follower shows."""

    def __init__(self, verbalizer):
        self.current = Loaded("v1", Writer(verbalizer, Author("v1", "w1", "c1")))


def test_predict_more_requests_than_may_wait_are_refused_at_once():
    async def ask():
        slow = Slow()
        model = VerbalizerModel(Still(slow), ModelMetrics(CollectorRegistry()))
        request = narration_request([HISTORY], model="verbalizer")
        waiting = [asyncio.create_task(model.predict(request)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(ModelNotReady):
            await model.predict(request)
        slow.go.set()
        answered = await asyncio.gather(*waiting)
        assert len(answered) == MAX_WAITING
        await model.predict(request)  # there is room again

    asyncio.run(ask())


def test_predict_counts_calls_texts_tokens_and_outcomes_beside_another_model():
    """The Reasoner is in the same process and on the same page."""
    registry = CollectorRegistry()
    metrics = ModelMetrics(registry)
    metrics.count_call("reasoner", "v1", num_texts=1, num_tokens=7, spent_s=0.1, processor_ms=5.0)
    model = VerbalizerModel(Still(Counting("saw")), metrics)

    async def ask(histories):
        await model.predict(narration_request(histories, model="verbalizer"))

    asyncio.run(ask([HISTORY, HISTORY]))  # two events each
    asyncio.run(ask([HISTORY]))
    with pytest.raises(InvalidInput):
        asyncio.run(ask([HISTORY] * 17))

    def value(name, **labels):
        return registry.get_sample_value(f"raconteur_{name}", {"model": "verbalizer", **labels})

    assert value("model_requests_total", outcome="answered") == 2
    assert value("model_requests_total", outcome="refused") == 1
    assert value("tokens_read_total") == 6
    assert [value("model_batch_texts_bucket", le=le) for le in ("1.0", "2.0")] == [1, 2]
    assert value("model_seconds_count") == 2
    assert value("processor_ms_total") >= 0
    assert value("model_waiting") == 0
    assert value("model_version_info", version="v1") == 1
    assert value("model_version_info", model="reasoner", version="v1") == 1
    assert value("tokens_read_total", model="reasoner") == 7


def test_predict_is_a_span_with_the_writing_inside_and_nothing_of_the_history(monkeypatch):
    collector = Collector()
    monkeypatch.setenv(tracing.ENDPOINT, collector.url)
    tracing.start_tracing("reasoner")
    model = VerbalizerModel(Still(Counting("saw")), ModelMetrics(CollectorRegistry()))
    headers = {"traceparent": TRACEPARENT}
    asyncio.run(model.predict(narration_request([HISTORY], model="verbalizer"), headers))
    tracing.stop_tracing()
    collector.close()

    spans = {one.name: one for _, one in collector.spans()}
    assert {name: attributes_of(one) for name, one in spans.items()} == {
        "verbalizer.predict": {"num_texts": 1, "num_waiting": 0},
        "write": {"num_texts": 1, "version": "v1"},
    }
    assert spans["write"].parent_span_id == spans["verbalizer.predict"].span_id
    assert spans["verbalizer.predict"].trace_id.hex() == TRACEPARENT.split("-")[1]
    assert b"i2" not in b"".join(collector.bodies)


def test_server_shows_its_metrics(server, url):
    httpx.post(url, json=body(line())).raise_for_status()
    page = httpx.get(f"http://127.0.0.1:{server[0]}/metrics").text
    assert 'raconteur_model_version_info{model="verbalizer",version="v1"} 1.0' in page


def test_new_champion_writes_the_next_text(server, url):
    registry = write_version(server[2], "v2", word="watched")
    registry.promote("v2", cause="test")

    async def until_new():
        client = KServeVerbalizer(f"http://127.0.0.1:{server[0]}", model="verbalizer")
        try:
            async with asyncio.timeout(30):
                while True:
                    text, author = await client.write(HISTORY, timeout_s=20)
                    if author.version == "v2":
                        return text
                    assert text.startswith("saw")
                    await asyncio.sleep(0.1)
        finally:
            await client.close()

    assert asyncio.run(until_new()) == "watched 2 events, the last of i2"
