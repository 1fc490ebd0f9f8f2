"""Hand-worked values of the losses and rewards."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raconteur.train.choice import listwise_loss
from raconteur.train.distil import soft_listwise_loss
from raconteur.train.grpo import length_plateau


def test_listwise_loss_two_candidates_by_hand():
    # softmax of (ln 3, 0) is (3/4, 1/4)
    scores = torch.tensor([[math.log(3.0), 0.0]])
    assert listwise_loss(scores, torch.tensor([0])).item() == pytest.approx(-math.log(0.75))
    assert listwise_loss(scores, torch.tensor([1])).item() == pytest.approx(-math.log(0.25))


def test_soft_listwise_loss_is_the_kl_of_the_two_distributions():
    # teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2
    loss = soft_listwise_loss(torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]]), 1.0)
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_soft_listwise_loss_of_the_teacher_itself_is_zero_at_any_temperature():
    scores = torch.tensor([[1.0, -2.0, 0.5]])
    assert soft_listwise_loss(scores + 7.0, scores, 2.0).item() == pytest.approx(0.0, abs=1e-6)


@given(st.permutations(range(6)))
def test_listwise_loss_does_not_depend_on_the_order_of_candidates(order):
    scores = torch.linspace(-1, 1, 6)[None, :]
    shuffled = scores[:, list(order)]
    before = listwise_loss(scores, torch.tensor([2]))
    assert listwise_loss(shuffled, torch.tensor([order.index(2)])).item() == pytest.approx(before.item(), abs=1e-6)


def test_length_plateau_by_hand():
    earned = length_plateau(np.array([0.0, 15.0, 30.0, 50.0, 70.0, 85.0, 100.0, 140.0]), np.full(8, 100.0))
    np.testing.assert_allclose(earned, [0, 0.5, 1, 1, 1, 0.5, 0, 0], atol=1e-9)


def test_length_plateau_empty_log_earns_nothing():
    assert length_plateau(np.array([0.0]), np.array([0.0])).tolist() == [0.0]
