"""Trains the sequential transformer on the items that users took, in order.

Full softmax where the catalogue is small; else negatives shared by the batch, drawn evenly, with their logits
corrected by log((V - 1) / negatives), so that the loss estimates the full one.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.splits import VALIDATION
from raconteur.errors import TrainingError
from raconteur.retrieve.sequential import PAD, ItemLM, SequentialRetriever, pad
from raconteur.train.examples import training_log
from raconteur.train.identity import training_key
from raconteur.train.loop import fit


def train_sequential(
    config: Config, data: Path, out: Path, checkpoints: Path, *, before: str = VALIDATION
) -> dict[str, float]:
    """Writes the retriever folder; returns the last loss.

    Args:
        before: see `examples.training_log`.

    Raises:
        TrainingError: no user took two items.
    """
    dataset = load_dataset(data)
    item_ids = tuple(dataset.items[c.ITEM_ID].to_list())
    sequences = _numbered(training_log(dataset, before=before).sequences, item_ids)
    if not sequences:
        raise TrainingError("no user of the training log took two items; there is no next item to learn")
    settings = config.sequential
    key = f"{training_key(config, ('data', 'world', 'sequential', 'seed'), reads=[data])}-{before}"
    torch.manual_seed(config.seed)
    model = ItemLM(len(item_ids), settings)

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        items_BL, _ = pad(_batch(sequences, settings.batch_size, settings.max_items + 1, rng))
        return _next_item_loss(model, items_BL, settings.num_negatives, rng), {}

    curves = fit(
        model,
        loss_of,
        name="sequential",
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
        seed=config.seed,
        checkpoint=checkpoints / f"sequential-{key}.pt",
        fingerprint=key,
    )
    with new_folder(out, kind="retriever", config=config.model_dump(mode="json")) as folder:
        SequentialRetriever(model, item_ids, settings).save(folder)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {"loss": curves["loss"][-1]}


def _numbered(sequences: list[list[str]], item_ids: tuple[str, ...]) -> list[list[int]]:
    index = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
    return [[index[item] for item in sequence] for sequence in sequences if len(sequence) > 1]


def _batch(sequences: list[list[int]], size: int, length: int, rng: np.random.Generator) -> list[list[int]]:
    """Random users, and of each a random window of the sequence, the newest one half of the time."""
    rows = []
    for number in rng.integers(len(sequences), size=size):
        sequence = sequences[number]
        latest = max(0, len(sequence) - length)
        start = latest if rng.uniform() < 0.5 else int(rng.integers(latest + 1))
        rows.append(sequence[start : start + length])
    return rows


def _next_item_loss(model: ItemLM, items_BL: Tensor, num_negatives: int, rng: np.random.Generator) -> Tensor:
    states_BLW = model(items_BL[:, :-1])
    targets_BL = items_BL[:, 1:]
    real_BL = targets_BL != PAD
    states_PW, targets_P = states_BLW[real_BL], targets_BL[real_BL] - 1
    num_items = len(model.items_VW)
    if num_negatives >= num_items:
        return F.cross_entropy(states_PW @ model.items_VW.T, targets_P)
    negatives_K = torch.from_numpy(rng.choice(num_items, size=num_negatives, replace=False))
    truth_P = (states_PW * model.items_VW[targets_P]).sum(-1)
    others_PK = states_PW @ model.items_VW[negatives_K].T + math.log((num_items - 1) / num_negatives)
    others_PK = others_PK.masked_fill(negatives_K == targets_P[:, None], -torch.inf)
    logits = torch.cat([truth_P[:, None], others_PK], dim=1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
