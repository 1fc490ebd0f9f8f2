"""Losses of a choice among candidates, from raw scores. Axis letters: B choices, N candidates, G samples a group."""

import torch
import torch.nn.functional as F
from torch import Tensor

GROUP_SIZE = 8
EPSILON = 1e-4  # beside the standard deviation, as in TRL


def listwise_loss(scores_BN: Tensor, truth_B: Tensor) -> Tensor:
    """Mean negative log-probability of the true item under a softmax over its candidates, in nats.

    Source: ListNet's top-one probabilities (Cao et al., 2007).
    """
    return F.cross_entropy(scores_BN.float(), truth_B)


def pointwise_loss(scores_BN: Tensor, truth_B: Tensor) -> Tensor:
    """Mean binary cross-entropy, in nats a candidate: the true item is a 1, every other one a 0."""
    scores_BN = scores_BN.float()
    return F.binary_cross_entropy_with_logits(scores_BN, F.one_hot(truth_B, scores_BN.shape[1]).to(scores_BN))


def grpo_loss(scores_BN: Tensor, truth_B: Tensor, generator: torch.Generator) -> Tensor:
    """Policy gradient on sampled choices: each list is answered `GROUP_SIZE` times, +1 for the truth and -1 else.

    Source: GRPO (Shao et al., 2024) with one update a sample, where its ratio is 1 and clips nothing.
    """
    logprobs_BN = scores_BN.float().log_softmax(dim=1)
    chosen_BG = torch.multinomial(logprobs_BN.detach().exp(), GROUP_SIZE, replacement=True, generator=generator)
    return policy_loss(logprobs_BN, chosen_BG, truth_B)


def policy_loss(logprobs_BN: Tensor, chosen_BG: Tensor, truth_B: Tensor) -> Tensor:
    """Minus the mean of advantage times log-probability of the choices made.

    Args:
        logprobs_BN: of every candidate, in nats.
        chosen_BG: places that were sampled.
    """
    rewards_BG = torch.where(chosen_BG == truth_B[:, None], 1.0, -1.0)
    return -(advantages(rewards_BG) * logprobs_BN.gather(1, chosen_BG)).mean()


def advantages(rewards_BG: Tensor) -> Tensor:
    """Rewards standardised within their group; a group of equal rewards has none."""
    centred_BG = rewards_BG - rewards_BG.mean(dim=1, keepdim=True)
    return centred_BG / (rewards_BG.std(dim=1, keepdim=True) + EPSILON)


def softened_divergence(scores_BN: Tensor, teacher_BN: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of each candidate list [B], in nats, both softened by the temperature.

    Args:
        scores_BN, teacher_BN: raw scores on the same candidates.

    Source: Hinton et al., 2015; their factor of the squared temperature keeps gradients alike.
    """
    taught_BN = F.log_softmax(teacher_BN.float() / temperature, dim=1)
    learned_BN = F.log_softmax(scores_BN.float() / temperature, dim=1)
    return F.kl_div(learned_BN, taught_BN, reduction="none", log_target=True).sum(dim=1) * temperature**2
