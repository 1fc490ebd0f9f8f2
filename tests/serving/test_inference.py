"""The V2 form over HTTP: what a body may look like, and that none of another look is a failure of ours."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferRequest
from kserve.errors import InvalidInput

from serving.door.dataplane import recommend_request
from serving.door.inference import decode

BODY = {
    "id": "a",
    "inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["sure"]},
        {"name": "history", "shape": [1], "datatype": "BYTES", "data": ['[{"item_id": "i1"}]']},
    ],
    "parameters": {"k": 3, "latency_budget_ms": 20.5, "explain": True, "query": "war"},
    "outputs": [{"name": "items", "parameters": {"binary_data": True}}],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def read(body, json_length=None):
    return recommend_request(decode(body, json_length), max_k=50)


def test_parameters_and_history_become_the_request():
    request = read(json.dumps(BODY).encode())
    assert (request.user_id, request.k, request.latency_budget_ms, request.explain, request.query) == (
        "sure",
        3,
        20.5,
        True,
        "war",
    )
    assert [event.item_id for event in request.history] == ["i1"]


def test_history_stands_for_a_user_that_nobody_knows():
    request = read(json.dumps({"inputs": [BODY["inputs"][1]]}).encode())
    assert (request.user_id, len(request.history)) == (None, 1)


def test_history_cannot_smuggle_other_fields_in():
    smuggler = {**BODY["inputs"][1], "data": ['[], "k": 9999, "history": []']}
    with pytest.raises(InvalidInput, match="history is no JSON"):
        read(json.dumps({"inputs": [BODY["inputs"][0], smuggler]}).encode())


def test_binary_tensor_is_read_like_json():
    head = {
        "inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 8}}],
        "parameters": {"binary_data_output": True, "k": 2},
    }
    front = json.dumps(head).encode()
    assert read(front + b"\x04\0\0\0sure", str(len(front))).user_id == "sure"


def test_smaller_of_budget_and_deadline_holds():
    asked = InferRequest.from_bytes(json.dumps(BODY).encode(), len(json.dumps(BODY)), "recommender")
    assert recommend_request(asked, max_k=50, left_ms=10.0).latency_budget_ms == 10.0
    assert recommend_request(asked, max_k=50, left_ms=100.0).latency_budget_ms == 20.5


@settings(max_examples=400)
@given(st.data(), st.booleans())
def test_body_with_anything_in_any_place_is_read_or_an_invalid_input(data, binary):
    body = json.loads(json.dumps(BODY))
    holder, key = data.draw(st.sampled_from(list(places(body))))
    holder[key] = data.draw(JSON)
    text = json.dumps(body).encode()
    with contextlib.suppress(InvalidInput):
        read(text, str(len(text)) if binary else None)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.none() | st.text(max_size=6) | st.integers(-5, 300).map(str))
def test_any_bytes_are_an_invalid_input(body, json_length):
    with pytest.raises(InvalidInput):
        read(body, json_length)


def places(value):
    """Every place in a body, as the holder and the key under which it is held."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from places(inner)
