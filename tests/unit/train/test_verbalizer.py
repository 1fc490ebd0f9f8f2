"""The language models in a row, hardly trained: each step hands on to the next, and a step started again ends alike."""

import json

import pytest
from safetensors.torch import load_file

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.represent.load import load_verbalizer
from raconteur.represent.mentions import mentioned
from raconteur.train.choice import histories_of
from raconteur.train.examples import training_log
from raconteur.train.grpo import FIGURES
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.train.verbalizer import train_verbalizer


@pytest.fixture(scope="module")
def trained(small):
    """Folders of a Reasoner and of a Verbalizer, with the config and the checkpoints that made them."""
    config = Config.model_validate(
        {
            **small.model_dump(),
            "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 3},
            "reasoner": {"num_steps": 3, "batch_size": 8},
            "verbalizer": {
                "num_layers": 1,
                "num_heads": 2,
                "sft_steps": 4,
                "best_steps": 2,
                "sft_batch_size": 4,
                "max_new_tokens": 12,
                "grpo": {"num_steps": 3, "prompts_per_step": 2, "group_size": 2},
            },
        }
    )
    root = config.workdir
    data, checkpoints = root / "data", root / "checkpoints"
    train_sequential(config, data, root / "retriever", checkpoints)
    train_reasoner(config, data, root / "retriever", root / "reasoner", checkpoints)
    train_verbalizer(config, data, root / "reasoner", root / "verbalizer", checkpoints)
    return config


def test_train_verbalizer_curves_hold_every_figure_of_every_step(trained):
    curves = json.loads((trained.workdir / "verbalizer" / "curves.json").read_text())
    assert {len(curves[name]) for name in FIGURES} == {3}
    assert all(0.0 <= value <= 1.0 for value in curves["accuracy"])


def test_train_verbalizer_started_again_ends_with_the_same_weights_and_curves(trained):
    root = trained.workdir
    train_verbalizer(trained, root / "data", root / "reasoner", root / "again", root / "checkpoints")
    first, again = (load_file(root / name / "model.safetensors") for name in ("verbalizer", "again"))
    assert all(first[name].equal(again[name]) for name in first)
    kept = [json.loads((root / name / "curves.json").read_text())["reward"] for name in ("verbalizer", "again")]
    assert kept[0] == kept[1]


def test_verbalizer_texts_name_only_items_of_their_own_log(trained):
    data = trained.workdir / "data"
    log = training_log(load_dataset(data))
    histories = histories_of(log, log.targets[:40], trained.text.max_events)
    for history, text in zip(histories, load_verbalizer(trained.workdir / "verbalizer").write(histories), strict=True):
        assert set(mentioned(text)) <= {event.item_id for event in history.events}
