"""Hand-worked values of the losses."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raconteur.train.losses import (
    EPSILON,
    advantages,
    grpo_loss,
    listwise_loss,
    pointwise_loss,
    policy_loss,
    softened_divergence,
)

LN2 = math.log(2.0)


def test_listwise_loss_two_candidates_by_hand():
    # softmax of (ln 3, 0) is (3/4, 1/4)
    scores = torch.tensor([[math.log(3.0), 0.0]])
    assert listwise_loss(scores, torch.tensor([0])).item() == pytest.approx(-math.log(0.75))
    assert listwise_loss(scores, torch.tensor([1])).item() == pytest.approx(-math.log(0.25))


def test_listwise_loss_is_the_mean_over_the_lists():
    # -ln 3/4 and -ln 1/4: together -ln 3/16, halved
    scores = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    assert listwise_loss(scores, torch.tensor([0, 1])).item() == pytest.approx(-math.log(3 / 16) / 2)


def test_pointwise_loss_two_candidates_by_hand():
    # sigmoid of (0, ln 3) is (1/2, 3/4): -ln 1/2 for the truth, -ln (1 - 3/4) for the other, halved
    loss = pointwise_loss(torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([0]))
    assert loss.item() == pytest.approx((LN2 + 2 * LN2) / 2)


def test_advantages_by_hand():
    # mean of (1, -1, -1, -1) is -1/2; squared deviations add up to 3; over n - 1 = 3 the deviation is 1
    expected = torch.tensor([[1.5, -0.5, -0.5, -0.5]]) / (1 + EPSILON)
    torch.testing.assert_close(advantages(torch.tensor([[1.0, -1.0, -1.0, -1.0]])), expected)


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_advantages_group_of_equal_rewards_has_none(reward):
    assert advantages(torch.full((1, 8), reward)).tolist() == [[0.0] * 8]


def test_policy_loss_by_hand():
    # The group above; log-probabilities -ln 2 of the truth and -2 ln 2 of each other choice:
    # 3/2 (-ln 2) + 3 * (-1/2) (-2 ln 2) = 3/2 ln 2, over four samples 3/8 ln 2
    logprobs = torch.tensor([[0.5, 0.25, 0.25]]).log()
    loss = policy_loss(logprobs, torch.tensor([[0, 1, 1, 2]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(-3 / 8 * LN2 / (1 + EPSILON))


def test_grpo_loss_certain_choice_teaches_nothing():
    scores = torch.tensor([[50.0, 0.0], [0.0, 50.0]], requires_grad=True)  # always right, always wrong
    grpo_loss(scores, torch.tensor([0, 0]), torch.Generator().manual_seed(0)).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_grpo_loss_same_generator_draws_alike_and_another_one_differs():
    scores, truth = torch.zeros(4, 5), torch.arange(4)
    first, again, other = (grpo_loss(scores + 1, truth, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["listwise", "pointwise", "grpo"])
def test_losses_one_step_down_raises_the_truth_and_lowers_the_rest(name):
    scores, truth = torch.zeros(3, 4, requires_grad=True), torch.tensor([0, 2, 3])
    losses = {
        "listwise": lambda: listwise_loss(scores, truth),
        "pointwise": lambda: pointwise_loss(scores, truth),
        "grpo": lambda: grpo_loss(scores, truth, torch.Generator().manual_seed(3)),
    }
    losses[name]().backward()
    assert scores.grad is not None
    true = scores.grad.gather(1, truth[:, None])[:, 0]
    assert (true < 0).all()
    assert (scores.grad.sum(1) - true > 0).all()


@given(st.permutations(range(6)))
def test_losses_do_not_depend_on_the_order_of_candidates(order):
    scores = torch.linspace(-1, 1, 6)[None, :]
    shuffled, truth, moved = scores[:, list(order)], torch.tensor([2]), torch.tensor([order.index(2)])
    for loss in (listwise_loss, pointwise_loss):
        assert loss(shuffled, moved).item() == pytest.approx(loss(scores, truth).item(), abs=1e-6)
    chosen = torch.tensor([[2, 0, 5, 2]])
    same = torch.tensor([[order.index(place) for place in chosen[0].tolist()]])
    before = policy_loss(scores.log_softmax(1), chosen, truth)
    assert policy_loss(shuffled.log_softmax(1), same, moved).item() == pytest.approx(before.item(), abs=1e-6)


def test_softened_divergence_is_the_kl_of_the_two_distributions():
    # teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2
    loss = softened_divergence(torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]]), 1.0)
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_softened_divergence_of_the_teacher_itself_is_zero_at_any_temperature():
    scores = torch.tensor([[1.0, -2.0, 0.5]])
    assert softened_divergence(scores + 7.0, scores, 2.0).item() == pytest.approx(0.0, abs=1e-6)
