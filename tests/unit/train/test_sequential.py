"""The loss of the sequential model, and what cannot be learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raconteur.config.schema import Config, SequentialConfig
from raconteur.data.dataset import load_dataset
from raconteur.errors import TrainingError
from raconteur.retrieve.sequential import PAD, ItemLM
from raconteur.train import sequential

NUM_ITEMS = 40
ITEMS_BL = torch.tensor([[3, 7, 1, 40, 2], [5, 6, 9, PAD, PAD]])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ItemLM(NUM_ITEMS, SequentialConfig(num_layers=1, width=16, num_heads=2)).eval()


def loss(model, num_negatives, seed=0):
    return sequential._next_item_loss(model, ITEMS_BL, num_negatives, np.random.default_rng(seed))


def by_hand(model):
    """Mean negative log-probability of the item that follows, at the six places where one does."""
    logprobs = (model(ITEMS_BL[:, :-1]) @ model.items_VW.T).double().log_softmax(2)
    places = [(0, 0, 7), (0, 1, 1), (0, 2, 40), (0, 3, 2), (1, 0, 6), (1, 1, 9)]
    return -torch.stack([logprobs[row, place, item - 1] for row, place, item in places]).mean()


def test_full_softmax_and_its_gradients_are_those_of_the_definition(model):
    full = loss(model, NUM_ITEMS)
    full.backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    expected = by_hand(model)
    expected.backward()
    assert full.item() == pytest.approx(expected.item(), abs=1e-5)
    for name, value in model.named_parameters():
        torch.testing.assert_close(found[name], value.grad, atol=1e-5, rtol=1e-4)


def test_sampled_softmax_estimates_the_full_one(model):
    with torch.no_grad():
        sampled = np.mean([loss(model, 20, seed).item() for seed in range(200)])
        assert sampled == pytest.approx(by_hand(model).item(), rel=0.02)


def test_train_sequential_of_lone_takes_is_refused(small, tmp_path, monkeypatch):
    log = sequential.training_log(load_dataset(small.workdir / "data"))
    lone = replace(log, sequences=[row[:1] for row in log.sequences])
    monkeypatch.setattr(sequential, "training_log", lambda *_, **__: lone)
    with pytest.raises(TrainingError, match="no user of the training log took two items"):
        sequential.train_sequential(Config(), small.workdir / "data", tmp_path / "out", tmp_path)
