"""Distils the Reasoner into a small student that reads the same prompt.

The student is the same kind of model, narrower and shallower. Its embeddings start as the teacher's, projected on
their principal directions, which keeps dot products between items and states. It learns the teacher's distribution
over each candidate list (soft listwise targets) and the true item. Source: ListNet's top-one probabilities.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from raconteur.artifacts import new_folder
from raconteur.config.load import fingerprint
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.train.choice import draw_batch, encode_examples
from raconteur.train.examples import NegativeSampler, training_log
from raconteur.train.loop import fit
from raconteur.train.losses import listwise_loss
from raconteur.train.tune import TEXTS


def distil(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the student's folder (torch); returns its last losses and agreement with the teacher while training."""
    dataset = load_dataset(data)
    item_ids = tuple(dataset.items["item_id"].to_list())
    log = training_log(dataset)
    teacher = ChoiceReasoner.load(reasoner)
    table = pl.read_parquet(reasoner / TEXTS)
    sampler = NegativeSampler(log, item_ids)
    examples = encode_examples(table["text"].to_list(), table, teacher.prompts, sampler, item_ids)
    torch.manual_seed(config.seed)
    model = _student(teacher.model, config)
    settings = config.student

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = draw_batch(examples, teacher.prompts, sampler, settings.batch_size, config.evaluate.num_candidates, rng)
        with torch.no_grad():
            taught_BN = teacher.model(batch.ids_BL, batch.choose_B, batch.places_BN)
        scores_BN = model(batch.ids_BL, batch.choose_B, batch.places_BN)
        soft = soft_listwise_loss(scores_BN, taught_BN, settings.temperature)
        hard = listwise_loss(scores_BN, batch.truth_B)
        agreement = (scores_BN.argmax(1) == taught_BN.argmax(1)).float().mean().item()
        loss = (1 - settings.hard_weight) * soft + settings.hard_weight * hard
        return loss, {"soft": soft.item(), "hard": hard.item(), "agreement": agreement}

    key = fingerprint(config, "data", "world", "sequential", "reasoner", "text", "verbalizer", "student", "seed")
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
    return {name: curves[name][-1] for name in ("soft", "hard", "agreement")}


def soft_listwise_loss(scores_BN: Tensor, teacher_BN: Tensor, temperature: float) -> Tensor:
    """Mean KL(teacher || student) over candidate lists, in nats, both softened by the temperature.

    Args:
        scores_BN, teacher_BN: raw scores on the same candidates.
    """
    taught_BN = F.log_softmax(teacher_BN.float() / temperature, dim=1)
    learned_BN = F.log_softmax(scores_BN.float() / temperature, dim=1)
    return F.kl_div(learned_BN, taught_BN, reduction="batchmean", log_target=True) * temperature**2


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
    _, _, directions_WW = torch.linalg.svd(table_TW, full_matrices=False)
    with torch.no_grad():
        student.body.embed_tokens.weight.copy_(table_TW @ directions_WW[: settings.width].T)
    return student
