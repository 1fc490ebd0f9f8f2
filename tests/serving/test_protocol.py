import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferOutput, InferRequest, InferResponse

from raconteur.errors import ServingError
from serving.protocol import (
    UNKNOWN_SCORE,
    ranking_request,
    ranking_response,
    read_ranking_request,
    read_ranking_response,
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


def test_response_unknown_items_travel_as_a_floor_and_come_back_as_nan():
    request = ranking_request(["t"], [["a", "b"]], model="student")
    response = ranking_response(request, np.array([[1.5, np.nan]]), version="v7")
    body, _ = response.to_rest()
    assert body["outputs"][0]["data"] == [1.5, UNKNOWN_SCORE]
    scores, version = read_ranking_response(InferResponse.from_rest(body), num_texts=1, num_candidates=2)
    assert version == "v7"
    np.testing.assert_array_equal(scores, np.array([[1.5, np.nan]], np.float32))


def test_response_of_another_shape_is_out_of_protocol():
    response = InferResponse("1", "student", [InferOutput("scores", [1, 3], "FP32", data=[1.0, 2.0, 3.0])])
    with pytest.raises(ServingError, match=r"answered scores \[1, 3\]"):
        read_ranking_response(response, num_texts=1, num_candidates=2)
