"""Trains a `ChoiceModel` to pick what the user took next among shuffled candidates.

Used for the frozen Reasoner (a mixture of styles), for the Reasoner on the Verbalizer's text, and for the student
(which adds a teacher). Candidates and their order are drawn anew for every sample. Axis letters: B examples, L
positions, N candidates, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from raconteur import columns as c
from raconteur.data.histories import history_before
from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceModel
from raconteur.reason.prompts import Prompts
from raconteur.train.examples import IntArray, NegativeSampler, TrainingLog
from raconteur.train.losses import grpo_loss, listwise_loss, pointwise_loss
from raconteur.types import History

Loss = Literal["listwise", "pointwise", "grpo"]

LM_POSITIONS = 512  # positions a batch on which the next-token loss is taken


@dataclass(frozen=True)
class Examples:
    """Choices to learn from, encoded.

    Attributes:
        texts: token ids of what is read, one list an example.
        users_B, truths_B: user and item numbers of the sampler.
        items: token ids of each item number as a candidate.
    """

    texts: list[list[int]]
    users_B: IntArray
    truths_B: IntArray
    items: list[list[int]]


@dataclass(frozen=True)
class Batch:
    rows_B: IntArray  # which examples
    ids_BL: Tensor
    choose_B: Tensor
    places_BN: Tensor  # position of each candidate's last token
    truth_B: Tensor  # place of the true item among the candidates
    candidates_BN: IntArray  # item numbers


Also = Callable[[ChoiceModel, Tensor, Batch, np.random.Generator], Tensor]


def draw_targets(log: TrainingLog, num: int, rng: np.random.Generator) -> pl.DataFrame:
    """At most `num` takes, drawn without replacement."""
    rows = rng.permutation(log.targets.height)[:num]
    return log.targets[np.sort(rows)]


def histories_of(log: TrainingLog, targets: pl.DataFrame, max_events: int) -> list[History]:
    """What happened before each target, aligned with it."""
    return history_before(log.events, targets.select(c.USER_ID, c.POSITION), max_events)


def encode_examples(
    texts: Sequence[str], targets: pl.DataFrame, prompts: Prompts, sampler: NegativeSampler, item_ids: Sequence[str]
) -> Examples:
    """
    Raises:
        TrainingError: the Reasoner does not know an item.
    """
    index = {item_id: number for number, item_id in enumerate(item_ids)}
    items = known_items(prompts, item_ids)
    return Examples(
        texts=prompts.encode_texts(texts),
        users_B=np.array([sampler.users[user] for user in targets[c.USER_ID]]),
        truths_B=np.array([index[item] for item in targets[c.ITEM_ID]]),
        items=items,
    )


def known_items(prompts: Prompts, item_ids: Sequence[str]) -> list[list[int]]:
    """Token ids of each item as a candidate.

    Raises:
        TrainingError: the Reasoner does not know an item.
    """
    items = prompts.encode_items(item_ids)
    unknown = [item_id for item_id, ids in zip(item_ids, items, strict=True) if not ids]
    if unknown:
        raise TrainingError(
            f"the Reasoner knows {len(items) - len(unknown)} of {len(items)} items (not '{unknown[0]}'): it was made "
            "for another catalogue; train a Reasoner on this one"
        )
    return items


def draw_batch(
    examples: Examples,
    prompts: Prompts,
    sampler: NegativeSampler,
    size: int,
    num_candidates: int,
    rng: np.random.Generator,
) -> Batch:
    """Random examples with fresh negatives; the truth's place is uniform.

    Half of the batches hold twice the candidates, so that a model also ranks the longer lists that are served.
    """
    num_candidates *= int(rng.integers(1, 3))
    rows_B = rng.integers(len(examples.texts), size=size)
    negatives_BN = sampler.draw(examples.users_B[rows_B], num_candidates - 1, rng)
    candidates_BN = np.concatenate([examples.truths_B[rows_B, None], negatives_BN], axis=1)
    order_BN = rng.permuted(np.tile(np.arange(num_candidates), (size, 1)), axis=1)
    shuffled_BN = np.take_along_axis(candidates_BN, order_BN, axis=1)
    layout = prompts.lay_out(
        [examples.texts[row] for row in rows_B],
        [[examples.items[item] for item in row] for row in shuffled_BN],
    )
    ids_BL, choose_B, places_BN = map(torch.from_numpy, (layout.ids_BL, layout.choose_B, layout.places_BN))
    return Batch(rows_B, ids_BL, choose_B, places_BN, torch.from_numpy(order_BN.argmin(axis=1)), shuffled_BN)


def choice_loss(
    model: ChoiceModel,
    batch: Batch,
    lm_weight: float,
    rng: np.random.Generator,
    loss: Loss = "listwise",
    also: Also | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of the choice plus the weighted next-token loss of the texts; figures: choice and accuracy.

    Args:
        loss: which of `losses`; choices of `grpo` are sampled from the generator.
        also: another loss on the states, which is added.
    """
    states_BLW = model.states(batch.ids_BL)
    scores_BN = model.choose(batch.ids_BL, states_BLW, batch.choose_B, batch.places_BN)
    choice = _loss_of(loss, scores_BN, batch.truth_B, rng)
    total = choice
    if also is not None:
        total = total + also(model, states_BLW, batch, rng)
    if lm_weight > 0:
        total = total + lm_weight * next_token_loss(model, states_BLW, batch.ids_BL, batch.choose_B, rng)
    accuracy = (scores_BN.argmax(1) == batch.truth_B).float().mean().item()
    return total, {"choice": choice.item(), "accuracy": accuracy}


def _loss_of(loss: Loss, scores_BN: Tensor, truth_B: Tensor, rng: np.random.Generator) -> Tensor:
    if loss == "grpo":
        return grpo_loss(scores_BN, truth_B, torch.Generator().manual_seed(int(rng.integers(2**31))))
    return (pointwise_loss if loss == "pointwise" else listwise_loss)(scores_BN, truth_B)


def next_token_loss(
    model: ChoiceModel, states_BLW: Tensor, ids_BL: Tensor, lengths_B: Tensor, rng: np.random.Generator
) -> Tensor:
    """Mean negative log-probability of the following token over random places of the texts, in nats."""
    positions_L = torch.arange(ids_BL.shape[1] - 1)
    real = (positions_L[None, :] + 1 < lengths_B[:, None]).nonzero()
    if len(real) == 0:
        return states_BLW.sum() * 0.0
    chosen = real[torch.from_numpy(rng.permutation(len(real))[:LM_POSITIONS])]
    logits = model.next_token_logits(states_BLW[chosen[:, 0], chosen[:, 1]])
    return F.cross_entropy(logits.float(), ids_BL[chosen[:, 0], chosen[:, 1] + 1])
