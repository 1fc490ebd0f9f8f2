"""More than 10,000 malformed or odd requests to one service: none fails it, and none changes what others get.

One story, in order: bodies from the OpenAPI schema, good bodies with anything in one place, bodies with some bytes
changed, odd headers; then a good request gets the answer that it got before.
"""

import asyncio
import json
import random

import pytest
import requests
import schemathesis
from door_world import Door
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_service import user
from schemathesis import GenerationMode

RECOMMEND, EVENTS, INSPECT = "/v1/recommendations", "/v1/events", "/v1/inspect"
INFER = "/v2/models/recommender/infer"
LENGTH = b"inference-header-content-length"
SECRET = "quokka"  # in the text of another user; no request of this file holds it
GOOD = {"user_id": "steady", "k": 3, "explain": True}
EVENT = {
    "item_id": "i1",
    "event_time": "2024-05-02T10:00:00+02:00",
    "event_type": "play",
    "value": 4.5,
    "session_id": "s",
    "context": {"device": "tv"},
}
FILTERS = {
    "categories": ["war"],
    "not_categories": ["court"],
    "min_price": 1.0,
    "max_price": 2.0,
    "released_from": "1990-01-01",
    "released_to": "2020-01-01",
    "available": False,
    "exclude": ["i2"],
}
ASKED = {
    "user_id": "u",
    "history": [EVENT],
    "k": 3,
    "candidates": ["i1", "i4"],
    "filters": FILTERS,
    "query": "war",
    "context": {"page": "home"},
    "explain": True,
    "latency_budget_ms": 50.0,
    "request_id": "r-1",
}
V2 = {
    "id": "a",
    "inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]},
        {"name": "history", "shape": [1], "datatype": "BYTES", "data": [json.dumps([EVENT])]},
    ],
    "parameters": {"k": 3, "latency_budget_ms": 20.5, "explain": True, "query": "war"},
    "outputs": [{"name": "items", "parameters": {"binary_data": True}}],
}
BODIES = {RECOMMEND: ASKED, EVENTS: {"user_id": "u", "events": [EVENT], "request_id": "r-2"}, INSPECT: ASKED, INFER: V2}
ODD = [
    *(None, True, -1, 0, 2**63, 10**400, 1e308, 5e-324, float("nan"), float("inf")),
    *("", " ", "\0", "\ud800", "\U0010ffff", "‮", "<i>", "é" * 600, "9" * 5000, "NaN", "i1", "a\nb"),
    *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2024-02-30T00:00:00Z"),
    *([], {}, [[]], {"": ""}, [None], ["i1"] * 1001, {"\ud800": "x"}, {"constructor": {}}),
]
ANYTHING = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FUZZ = settings(derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def door(loop, tmp_path_factory):
    async def begin():
        # A budget of no time at all may open a breaker; it is closed again soon.
        return Door(tmp_path_factory.mktemp("run"), breaker_seconds=0.05)

    door = loop.run(begin())
    door.store.users = {
        "steady": user("steady", ["i1"], "court court"),
        "u": user("u", ["i2"], "war"),
        f"user of the {SECRET}": user(f"user of the {SECRET}", ["i1", "i4"], f"space {SECRET}"),
    }
    yield door
    loop.run(door.service.close())


@pytest.fixture(scope="module")
def before(loop, door):
    """What a good request gets when all is quiet."""
    answer = loop.run(door.post(RECOMMEND, GOOD))
    assert [item["item_id"] for item in answer.json()["items"]] == ["i3", "i2", "i4"]
    return answer.lasting()


@pytest.fixture
def odd(loop, door, before):
    """Sends a request that may be refused, but must not fail."""

    def send(path, body, headers=()):
        answer = loop.run(door.post(path, body, headers))
        if answer.status >= 500 or answer.status == 429:
            assert answer.status in (429, 503), (answer.status, path, body)
            assert int(answer.headers["retry-after"]) >= 1
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
        assert 'File "' not in answer.text
        return answer

    return send


@pytest.mark.parametrize("path", [RECOMMEND, EVENTS, INSPECT])
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_bodies_from_the_openapi_schema(path, mode, odd, door, loop):
    schema = schemathesis.openapi.from_dict(loop.run(door.get("/openapi.json")).json())
    seen = set()

    @settings(FUZZ, max_examples=70, phases=["generate"])
    @given(schema[path]["POST"].as_strategy(generation_mode=mode))
    def fuzz(case):
        sent = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
        body = sent.body or b""
        kind = str(sent.headers.get("content-type", "application/json")).encode("latin-1", "replace")
        answer = odd(path, body if isinstance(body, bytes) else body.encode(), [(b"content-type", kind)])
        seen.add(answer.status)

    fuzz()
    assert seen & {400, 422} if mode is GenerationMode.NEGATIVE else seen & {200, 202}


@pytest.mark.parametrize("path", list(BODIES))
def test_good_bodies_with_anything_in_one_place(path, odd):
    @settings(FUZZ, max_examples=250)
    @given(st.data(), st.booleans())
    def fuzz(data, binary):
        body = json.loads(json.dumps(BODIES[path]))
        holder, key = data.draw(st.sampled_from(list(places(body))))
        holder[key] = data.draw(ANYTHING)
        text = json.dumps(body).encode()
        odd(path, text, [(LENGTH, str(len(text)).encode())] if binary and path == INFER else ())

    fuzz()


@pytest.mark.parametrize("path", list(BODIES))
def test_every_odd_value_in_every_place(path, odd):
    for number in range(len(list(places(BODIES[path])))):
        for value in ODD:
            body = json.loads(json.dumps(BODIES[path]))
            holder, key = list(places(body))[number]
            holder[key] = value
            odd(path, body)


@pytest.mark.parametrize("path", list(BODIES))
def test_bodies_with_some_bytes_changed(path, odd):
    chance = random.Random(path)
    whole = json.dumps(BODIES[path]).encode()
    for _ in range(1200):
        odd(path, mangled(whole, chance))


def test_binary_tensors_with_some_bytes_changed_and_any_length_of_the_head(odd):
    chance = random.Random("binary")
    tensors = b"\x01\0\0\0u" + len(b'[{"item_id": "i1"}]').to_bytes(4, "little") + b'[{"item_id": "i1"}]'
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
        for name, size in (("user_id", 5), ("history", len(tensors) - 5))
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    assert odd(INFER, head + tensors, [(LENGTH, str(len(head)).encode())]).status == 200
    for _ in range(1500):
        length = len(head) if chance.random() < 0.7 else chance.choice([0, -1, 1, 10**9, "x", "", "9" * 5000, "1e3"])
        odd(INFER, mangled(head + tensors, chance), [(LENGTH, str(length).encode())])


@pytest.mark.parametrize("path", list(BODIES))
def test_headers_of_any_bytes(path, odd):
    names = [b"content-type", b"content-length", b"authorization", b"x-api-key", b"traceparent", b"tracestate"]
    names += [b"baggage", b"accept", b"host", b"origin", b"cookie", b"x-request-id", b"content-encoding", LENGTH]
    chance = random.Random(f"headers {path}")
    for _ in range(250):
        value = chance.choice([b"", b"\xff\xfe", b"-1", b"9" * 400, b"gzip", b"text/plain", chance.randbytes(9)])
        odd(path, BODIES[path], [(chance.choice(names), value)])


def test_after_all_of_it_a_good_request_gets_the_same_answer_as_before(door, loop, before, odd):
    async def ask():
        await asyncio.sleep(0.1)
        made_anew = {**GOOD, "context": {"when": "after"}}
        return (await door.post(RECOMMEND, made_anew)).lasting(), (await door.get("/healthz")).json()["status"]

    assert door.num_sent > 10_000
    assert loop.run(ask()) == (before, "serving")
    assert odd(EVENTS, {"user_id": "steady", "events": [{"item_id": "i3"}]}).status == 202
    assert "i3" not in [item["item_id"] for item in odd(RECOMMEND, GOOD).json()["items"]]


def places(value):
    """Every place in a body, as the holder and the key under which it is held."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from places(inner)


def mangled(body, chance):
    """One to four cuts, doublings or changed bytes."""
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(changed) + 1)
        stop = min(len(changed), start + chance.randint(1, 12))
        what = chance.randrange(4)
        if what == 0:
            del changed[start:stop]
        elif what == 1:
            changed[start:start] = changed[start:stop]
        elif what == 2:
            changed[start:stop] = chance.randbytes(stop - start)
        else:
            changed[start:start] = chance.choice([b'"', b"{", b"]", b"\\ud800", b"NaN", b"\0", b"1e999", b"[" * 3000])
    return bytes(changed)
