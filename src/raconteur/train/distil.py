"""Distils the Reasoner into a small student that reads the same prompt.

The student is the same kind of model, narrower and shallower. Its embeddings start as the teacher's, projected on
their principal directions, which keeps dot products between items and states. Where the teacher chose the item that
was taken, the student learns the teacher's distribution over the list and that item; where it chose another, the item
alone (teachers are wrong often enough to hurt); where nobody knows, the teacher's distribution alone. A list says
little; so the student learns beside it how well any item suits the text, by the state that the teacher had before the
candidates, as the teacher once learned it from the sequential model.
Axis letters: B lists, N candidates, R lessons, L positions, W width, V items.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config, StudentConfig
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.train.identity import training_key
from raconteur.train.lessons import LESSONS, STATES
from raconteur.train.loop import fit
from raconteur.train.losses import softened_divergence
from raconteur.train.taste import Taste


@dataclass(frozen=True)
class Lessons:
    """Encoded lessons: token ids of texts and candidates, and what the teacher said."""

    texts: list[list[int]]
    number_R: Tensor  # of the text among the teacher's states
    items: dict[str, list[int]]
    candidates: list[list[str]]
    truth_R: Tensor  # -1: not among the candidates
    taught_RN: Tensor


def distil(config: Config, lessons: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the student's folder (torch); returns its last losses and agreement with the teacher while training."""
    teacher = ChoiceReasoner.load(reasoner)
    read = read_lessons(lessons, teacher.prompts)
    torch.manual_seed(config.seed)
    model = _student(teacher.model, config)
    settings = config.student
    heard = settings.hard_weight < 1 and teacher.model.suits_items
    taste = _taste(lessons, teacher.model, read.items) if heard else None

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows_B = rng.integers(len(read.texts), size=settings.batch_size)
        ids_BL, choose_B, places_BN = _layout(read, teacher.prompts, rows_B)
        states_BLW = model.states(ids_BL)
        scores_BN = model.choose(ids_BL, states_BLW, choose_B, places_BN)
        loss, figures = taught_loss(scores_BN, read.truth_R[rows_B], read.taught_RN[rows_B], settings)
        if taste is None:
            return loss, figures
        missed = taste(model, states_BLW, choose_B, read.number_R[rows_B], rng)
        return loss + (1 - settings.hard_weight) * missed, figures | {"taste": missed.item()}

    key = training_key(config, ("student", "seed"), reads=[lessons, reasoner])
    curves = fit(
        model,
        loss_of,
        name="distil",
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
        seed=config.seed,
        checkpoint=checkpoints / f"distil-{key}.pt",
        fingerprint=key,
    )
    with new_folder(out, kind="student", config=config.model_dump(mode="json")) as folder:
        ChoiceReasoner(model, teacher.prompts).save(folder)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {name: curves[name][-1] for name in ("soft", "hard", "taste", "agreement") if name in curves}


def _taste(lessons: Path, teacher: ChoiceModel, items: Mapping[str, Sequence[int]]) -> Taste:
    """How well items suit a text in the teacher's eyes, whether or not they stand on its list.

    Args:
        items: token ids of each, one or, where the teacher does not know it, none.
    """
    tokens_V = torch.tensor([token for tokens in items.values() for token in tokens])
    return Taste(
        torch.from_numpy(np.load(lessons / STATES)),
        teacher.body.embed_tokens.weight.detach()[tokens_V],
        teacher.prior.weight.detach()[tokens_V, 0],
        tokens_V,
    )


def taught_loss(
    scores_BN: Tensor, truth_B: Tensor, taught_BN: Tensor, settings: StudentConfig
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch of lessons, and its figures: both halves of it, and how often both choose the same.

    Args:
        truth_B: the true item's place, or -1 where it is not on the list.
        taught_BN: the teacher's scores.
    """
    soft_B = softened_divergence(scores_BN, taught_BN, settings.temperature)
    hard_B = F.cross_entropy(scores_BN.float(), truth_B, ignore_index=-1, reduction="none")
    agreement = (scores_BN.argmax(1) == taught_BN.argmax(1)).float().mean().item()
    loss = gated_loss(soft_B, hard_B, truth_B, taught_BN.argmax(1), settings.hard_weight)
    figures = {"soft": soft_B.mean().item(), "hard": hard_B.sum().item() / max(1, int((truth_B >= 0).sum()))}
    return loss, {**figures, "agreement": agreement}


def gated_loss(soft_B: Tensor, hard_B: Tensor, truth_B: Tensor, chosen_B: Tensor, hard_weight: float) -> Tensor:
    """Mean loss of lists; with `hard_weight` 1 the teacher is not heard at all.

    Args:
        soft_B: divergence from the teacher.
        hard_B: minus the log-probability of the true item; 0 where it is not on the list.
        truth_B: its place, or -1.
        chosen_B: the teacher's first choice.
    """
    wrong_B = (truth_B >= 0) & (chosen_B != truth_B)
    return torch.where(wrong_B, hard_B, (1 - hard_weight) * soft_B + hard_weight * hard_B).mean()


def read_lessons(folder: Path, prompts: Prompts) -> Lessons:
    table = pl.read_parquet(folder / LESSONS)
    candidates = table[c.CANDIDATES].to_list()
    distinct = sorted({item_id for row in candidates for item_id in row})
    return Lessons(
        texts=prompts.encode_texts(table["text"].to_list()),
        number_R=torch.tensor(table["number"].to_list()),
        items=dict(zip(distinct, prompts.encode_items(distinct), strict=True)),
        candidates=candidates,
        truth_R=torch.tensor(table[c.TRUTH].to_list()),
        taught_RN=torch.tensor(table["scores"].to_list()),
    )


def _layout(read: Lessons, prompts: Prompts, rows_B: np.ndarray) -> tuple[Tensor, ...]:
    items = [[read.items[item_id] for item_id in read.candidates[row]] for row in rows_B]
    layout = prompts.lay_out([read.texts[row] for row in rows_B], items)
    return tuple(map(torch.from_numpy, (layout.ids_BL, layout.choose_B, layout.places_BN)))


def _student(teacher: ChoiceModel, config: Config) -> ChoiceModel:
    settings = config.student
    table_TW = teacher.body.embed_tokens.weight.detach()
    student = ChoiceModel(
        len(table_TW),
        num_layers=settings.num_layers,
        width=settings.width,
        num_heads=settings.num_heads,
        dropout=0.0,
        inputs=teacher.inputs,
        head=teacher.head,
    )
    with torch.no_grad():
        projected = principal(table_TW, settings.width)
        student.body.embed_tokens.weight.zero_()[:, : projected.shape[1]] = projected
        if teacher.head == "pointer":
            student.prior.weight.copy_(teacher.prior.weight)
    return student


def principal(table_TW: Tensor, width: int) -> Tensor:
    """Rows in the directions in which the table is largest [T, width], or fewer where it has no more."""
    _, _, directions_WW = torch.linalg.svd(table_TW, full_matrices=False)
    return table_TW @ directions_WW[:width].T
