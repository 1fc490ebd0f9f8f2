import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferRequest

from serving.protocol import (
    UNKNOWN_SCORE,
    ranking_request,
    ranking_response,
    read_ranking_request,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(st.data(), st.integers(1, 4), st.integers(1, 5))
def test_request_any_texts_survive_the_way_through_json_and_grpc(data, num_texts, num_candidates):
    asked = data.draw(st.lists(texts, min_size=num_texts, max_size=num_texts))
    row = st.lists(texts, min_size=num_candidates, max_size=num_candidates)
    candidates = data.draw(st.lists(row, min_size=num_texts, max_size=num_texts))
    request = ranking_request(asked, candidates, model="student")
    by_grpc = InferRequest.from_grpc(ranking_request(asked, candidates, model="student").to_grpc())
    assert read_ranking_request(request) == (asked, candidates)
    assert read_ranking_request(by_grpc) == (asked, candidates)


def test_response_unknown_items_travel_as_a_floor():
    request = ranking_request(["t"], [["a", "b"]], model="student")
    response = ranking_response(request, np.array([[1.5, np.nan]]), version="v7")
    body, _ = response.to_rest()
    assert body["outputs"][0]["data"] == [1.5, UNKNOWN_SCORE]
    assert body["parameters"] == {"version": "v7"}
