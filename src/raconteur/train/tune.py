"""Stage 2: the Verbalizer is frozen and the Reasoner is trained on its text.

The texts written here are kept in the artefact (`texts.parquet`), because distillation reads the same ones.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.load import writer_of
from raconteur.train.choice import choice_loss, draw_batch, draw_targets, encode_examples, histories_of
from raconteur.train.examples import NegativeSampler, TrainingLog, training_log
from raconteur.train.identity import OF_WRITERS, training_key
from raconteur.train.loop import fit
from raconteur.types import Verbalizer

TEXTS = "texts.parquet"


def tune_reasoner(
    config: Config, data: Path, reasoner: Path, verbalizer: Path | Verbalizer, out: Path, checkpoints: Path
) -> dict[str, float]:
    """Writes the tuned Reasoner's folder; returns the last loss and accuracy on training batches.

    Args:
        verbalizer: any that writes texts, or the folder of a trained one.
    """
    dataset = load_dataset(data)
    item_ids = tuple(dataset.items["item_id"].to_list())
    log = training_log(dataset)
    writer = writer_of(verbalizer)
    table = written_targets(log, writer, config)
    tuned = ChoiceReasoner.load(reasoner)
    sampler = NegativeSampler(log, item_ids)
    examples = encode_examples(table["text"].to_list(), table, tuned.prompts, sampler, item_ids)
    settings = config.reasoner

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = draw_batch(examples, tuned.prompts, sampler, settings.batch_size, config.evaluate.num_candidates, rng)
        return choice_loss(tuned.model, batch, settings.lm_weight, rng, settings.loss)

    key = training_key(config, OF_WRITERS, reads=[data, reasoner], texts=table["text"].to_list())
    curves = fit(
        tuned.model,
        loss_of,
        name="tune",
        num_steps=settings.tune_steps,
        learning_rate=settings.tune_rate,
        seed=config.seed,
        checkpoint=checkpoints / f"tune-{key}.pt",
        fingerprint=key,
    )
    with new_folder(out, kind="reasoner", config=config.model_dump(mode="json")) as folder:
        tuned.save(folder)
        table.write_parquet(folder / TEXTS)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {"loss": curves["choice"][-1], "accuracy": curves["accuracy"][-1]}


def written_targets(log: TrainingLog, writer: Verbalizer, config: Config) -> pl.DataFrame:
    """Training targets with the Verbalizer's text of what came before each."""
    targets = draw_targets(log, config.reasoner.tune_examples, np.random.default_rng([config.seed, 5]))
    texts = writer.write(histories_of(log, targets, config.text.max_events))
    return targets.with_columns(pl.Series("text", texts, dtype=pl.String))
