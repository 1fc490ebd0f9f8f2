"""Retriever and model together: learned weights, unknown items, and the folder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import ArtifactError, TrainingError
from raconteur.retrieve.rerank import FEATURES, FILE, Rerank, features, learn

NAN = float("nan")


def test_features_are_standardised_score_place_model_and_popularity():
    found = features(np.array([2.0, NAN]), np.array([0.5, 1.5]), np.array([3.0, 1.0]))
    # z of (3, 1) is (1, -1); places 1 and 2; the unknown item takes the lowest known score, so no difference is left
    assert found == pytest.approx(np.array([[1, 0, 0, 0.5], [-1, -np.log(2), 0, 1.5]]))


def test_scores_equal_retrieval_and_unknown_model_are_finite():
    rerank = Rerank({"student": (1.0, 0.0, 1.0, 0.0)}, {})
    scores = rerank.scores("student", np.full(3, NAN), ["a", "b", "c"], np.ones(3))
    assert scores.tolist() == [0.0, 0.0, 0.0]


@given(st.integers(0, 2**31))
def test_learn_finds_the_feature_that_decides(seed):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(60, 5, len(FEATURES)))
    weights = learn(found, found[:, :, 2].argmax(axis=1))
    assert weights[2] > 2 * max(abs(weights[0]), abs(weights[1]), abs(weights[3]))


def test_learn_gradient_is_zero_at_the_solution_of_two_candidates():
    # one feature differs by 1, the truth has it in 3 of 4 lists: log odds ln 3, less a hair for the ridge
    one = np.zeros((4, 2, len(FEATURES)))
    one[:, 0, 0] = 1.0
    weights = learn(one, np.array([0, 0, 0, 1]))
    assert weights[0] == pytest.approx(np.log(3), abs=0.02)
    assert weights[1:] == pytest.approx((0, 0, 0))


def test_learn_no_list_is_refused():
    with pytest.raises(TrainingError, match="num_ranked"):
        learn(np.zeros((0, 5, len(FEATURES))), np.zeros(0, dtype=np.int64))


def test_rerank_saved_and_loaded_is_the_same(tmp_path):
    rerank = Rerank({"student": (1.0, 2.0, 3.0, 4.0)}, {"a": 7.0})
    rerank.save(tmp_path)
    assert Rerank.load(tmp_path) == rerank


@pytest.mark.parametrize(
    "text", ["", "[]", '{"weights": {"student": [1]}, "takes": {}}', '{"weights": 3, "takes": {}}']
)
def test_rerank_load_malformed_file_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ArtifactError):
        Rerank.load(tmp_path)
