"""Stage 2 on the texts of a rule; the ablation's tests tune on trained Verbalizers."""

import polars as pl

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.train.choice import histories_of
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.train.tune import tune_reasoner


def test_tune_reasoner_keeps_the_texts_that_it_was_tuned_on(small, tmp_path):
    config = Config.model_validate(
        {
            **small.model_dump(),
            "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 2},
            "reasoner": {"num_steps": 2, "batch_size": 4, "tune_steps": 2, "tune_examples": 10},
        }
    )
    data, checkpoints = small.workdir / "data", tmp_path / "checkpoints"
    train_sequential(config, data, tmp_path / "retriever", checkpoints)
    train_reasoner(config, data, tmp_path / "retriever", tmp_path / "reasoner", checkpoints)
    dataset = load_dataset(data)
    clean = StyleVerbalizer(CLEAN, facts_of(catalogue(dataset), config), max_events=config.text.max_events)
    figures = tune_reasoner(config, data, tmp_path / "reasoner", clean, tmp_path / "tuned", checkpoints)
    assert 0.0 <= figures["accuracy"] <= 1.0
    table = pl.read_parquet(tmp_path / "tuned" / "texts.parquet")
    assert table.height == 10
    assert table["text"].to_list() == clean.write(histories_of(training_log(dataset), table, config.text.max_events))
