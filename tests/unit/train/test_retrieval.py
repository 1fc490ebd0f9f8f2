"""The fusion step on a very small world, and its fit on hand-made evidence."""

import numpy as np
import pytest
import torch

from raconteur import columns as c
from raconteur.artifacts import read_manifest
from raconteur.config.schema import Config, RetrieveConfig
from raconteur.data.dataset import load_dataset
from raconteur.errors import TrainingError
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.load import load_retriever, save
from raconteur.retrieve.popularity import Popularity
from raconteur.retrieve.sequential import ItemLM, SequentialRetriever
from raconteur.retrieve.sequential_onnx import ServedSequential
from raconteur.train.retrieval import Asked, Unions, asked, fit_weights, fuse, train_retrieval, unions


@pytest.fixture(scope="module")
def sequential(small, tmp_path_factory):
    """An untrained sequential model of the small world's catalogue."""
    torch.manual_seed(0)
    settings = small.sequential.model_copy(update={"num_layers": 1, "width": 8, "num_heads": 2})
    item_ids = load_dataset(small.workdir / "data").items[c.ITEM_ID].to_list()
    folder = tmp_path_factory.mktemp("retrieval") / "sequential"
    save(SequentialRetriever(ItemLM(len(item_ids), settings), item_ids, settings), folder)
    return folder


def test_train_retrieval_learned_beats_an_untrained_part_and_loads(small, sequential, tmp_path):
    metrics = train_retrieval(small, small.workdir / "data", sequential, tmp_path / "retriever")
    assert metrics["fused_ndcg_10"] > metrics["sequential_ndcg_10"]
    assert metrics["fused_recall_100"] == metrics["sequential_recall_100"]  # of 60 items: all that were not seen
    loaded = load_retriever(tmp_path / "retriever")
    assert isinstance(loaded, FusedRetriever)
    assert {"sequential", "neighbours", "linear", "ease", "lexical", "dense"} <= set(loaded.parts)
    assert read_manifest(tmp_path / "retriever")["metrics"] == metrics
    assert len(loaded.candidates([[]], [[]], 20)[0]) == 20
    served, trained = loaded.parts["sequential"], SequentialRetriever.load(sequential)
    assert isinstance(served, ServedSequential)  # a graph: no torch where it is served
    ids = list(loaded.item_ids)
    histories = [[], ids[:1], ids[3:9], [*ids, "an item that no catalogue has"] * 3]
    np.testing.assert_allclose(served.score(histories), trained.score(histories), atol=1e-4)


def test_fuse_parts_that_hardly_weigh_are_left_out(small, sequential):
    users = asked(load_dataset(small.workdir / "data"), "validation")
    trained = SequentialRetriever.load(sequential)
    silent = Popularity(trained.item_ids, np.zeros(len(trained.item_ids)))  # says the same of all items: weight 0
    known = Popularity.fit([[truth] for truth in users.truths], trained.item_ids)
    fused = fuse(RetrieveConfig(), {"known": known, "silent": silent}, users)
    assert list(fused.parts) == ["known"]


def test_train_retrieval_large_catalogue_has_no_matrix_parts_and_ranks_need_no_fit(small, sequential, tmp_path):
    config = small.model_copy(update={"retrieve": RetrieveConfig(method="reciprocal", max_matrix_items=10)})
    train_retrieval(config, small.workdir / "data", sequential, tmp_path / "retriever")
    loaded = load_retriever(tmp_path / "retriever")
    assert not {"ease", "linear"} & set(loaded.parts)
    assert loaded.weights.tolist() == [1.0] * len(loaded.parts)


def test_train_retrieval_sequential_of_another_catalogue_is_refused(small, tmp_path):
    settings = small.sequential.model_copy(update={"num_layers": 1, "width": 8, "num_heads": 2})
    save(SequentialRetriever(ItemLM(1, settings), ["nobody knows"], settings), tmp_path / "other")
    with pytest.raises(TrainingError, match="'nobody knows'"):
        train_retrieval(small, small.workdir / "data", tmp_path / "other", tmp_path / "retriever")


def test_fit_weights_trusts_the_part_that_is_right():
    # 20 users of three items; part 0 knows the truth, part 1 is the same for all, part 2 points away
    evidence = np.tile(np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), (20, 1))
    starts = np.arange(0, 60, 3)
    weights = fit_weights(Unions(evidence, starts, starts))
    assert weights[0] > 1.0
    assert weights[1] == pytest.approx(0.0, abs=1e-6)
    assert weights[2] < 0.0


def test_fit_weights_gradient_vanishes_at_the_answer():
    # with one part and half of the truths on each side, no weight is better than none
    evidence = np.tile(np.array([[1.0], [-1.0]]), (4, 1))
    weights = fit_weights(Unions(evidence, np.array([0, 2, 4, 6]), np.array([0, 3, 4, 7])))
    assert weights[0] == pytest.approx(0.0, abs=1e-6)


def test_unions_leave_out_seen_items_and_users_without_their_truth():
    part = Popularity(("a", "b", "c", "d"), np.array([4.0, 3.0, 2.0, 1.0]))
    users = Asked([["a"], [], ["a"], ["a"]], ["c", "d", "a", "ghost"])
    found = unions({"popularity": part}, users, 2)  # b and c; a and b; b and c twice
    assert found.evidence_EP.shape == (2, 1)
    assert (found.starts_B.tolist(), found.truth_B.tolist()) == ([0], [1])


def test_unions_without_any_truth_are_refused():
    part = Popularity(("a", "b"), np.array([2.0, 1.0]))
    with pytest.raises(TrainingError, match="no part proposes"):
        unions({"popularity": part}, Asked([[]], ["ghost"]), 2)


def test_retrieve_config_is_part_of_the_config():
    assert Config().retrieve == RetrieveConfig()
