"""Pretrained models trained by LoRA, on a base of random weights: the code path of the production profile, on a CPU."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.errors import ConfigError
from raconteur.reason.llm import LetterReasoner
from raconteur.represent.llm import LlmVerbalizer
from raconteur.represent.pretrained import ADAPTER, WEIGHTS
from raconteur.train import grpo, pretrained
from raconteur.train.choice import histories_of
from raconteur.train.examples import training_log
from raconteur.train.grpo import FIGURES
from raconteur.train.losses import listwise_loss
from raconteur.train.pretrained import (
    ChoiceLists,
    grpo_options,
    list_scores,
    start_llm_reasoner,
    train_llm_verbalizer,
    tune_llm_reasoner,
)


@pytest.fixture(scope="module")
def config(small, chat_base):
    return Config.model_validate(
        {
            **small.model_dump(),
            "workdir": small.workdir / "llm",
            "text": {"max_events": 4, "history_tokens": 200},
            "llm": {"base": chat_base, "lora_rank": 2, "micro_batch": 2},
            "reasoner": {"tune_steps": 4, "tune_examples": 6, "batch_size": 4, "tune_rate": 1e-2},
            "verbalizer": {
                "max_new_tokens": 6,
                # Groups judged alike are dropped, and a few random bytes are: the gain tells them apart best.
                "grpo": {
                    "num_steps": 2,
                    "prompts_per_step": 2,
                    "group_size": 4,
                    "learning_rate": 1e-2,
                    "reward": "gain",
                },
            },
        }
    )


@pytest.fixture(scope="module")
def trained(config, small):
    """Folders of the frozen Reasoner, the Verbalizer trained against it and the Reasoner tuned on its text."""
    root, data = config.workdir, small.workdir / "data"
    start_llm_reasoner(config, data, root / "frozen")
    metrics = train_llm_verbalizer(config, data, root / "frozen", root / "verbalizer", root / "checkpoints")
    tuned = tune_llm_reasoner(config, data, root / "frozen", root / "verbalizer", root / "tuned", root / "checkpoints")
    return data, root, metrics, tuned


def adapter(folder):
    return load_file(folder / ADAPTER / WEIGHTS)


def assert_same(first, again):
    assert first.keys() == again.keys()
    assert all(value.equal(again[name]) for name, value in first.items())


def test_frozen_reasoner_is_the_base_without_an_adapter(trained):
    _, root, *_ = trained
    assert sorted(path.name for path in (root / "frozen").iterdir()) == ["manifest.json", "reasoner.json"]


def test_grpo_changes_adapter_weights_and_keeps_every_curve(trained):
    _, root, metrics, _ = trained
    changed = [name for name, value in adapter(root / "verbalizer").items() if "lora_B" in name and value.any()]
    assert changed  # B starts at zero
    curves = json.loads((root / "verbalizer" / "curves.json").read_text())
    assert set(curves) <= set(FIGURES)
    assert {len(values) for values in curves.values()} == {2}
    assert np.isfinite([metrics["first_reward"], metrics["last_reward"]]).all()


def test_grpo_started_again_ends_with_the_same_adapter(trained, config):
    data, root, *_ = trained
    train_llm_verbalizer(config, data, root / "frozen", root / "again", root / "checkpoints")
    assert_same(adapter(root / "verbalizer"), adapter(root / "again"))


def test_trained_verbalizer_loads_and_writes(trained, config):
    data, root, *_ = trained
    log = training_log(load_dataset(data))
    histories = histories_of(log, log.targets[:3], config.text.max_events)
    assert len(LlmVerbalizer.load(root / "verbalizer").write(histories)) == 3


def test_tuning_changes_the_adapter_and_the_scores(trained):
    data, root, _, metrics = trained
    assert np.isfinite(metrics["loss"])
    assert 0.0 <= metrics["accuracy"] <= 1.0
    items = load_dataset(data).items["item_id"].to_list()[:3]
    frozen, tuned = (LetterReasoner.load(root / name).score(["likes"], [items]) for name in ("frozen", "tuned"))
    assert not np.allclose(frozen, tuned)
    assert (root / "tuned" / "texts.parquet").exists()


class KilledError(Exception):
    pass


def dying(trainer, step):
    """The trainer, cut off when it begins the step after so many."""

    class Dying(trainer):
        def training_step(self, *arguments, **named):
            if self.state.global_step == step:
                raise KilledError
            return super().training_step(*arguments, **named)

    return Dying


def test_tuning_killed_after_some_steps_resumes_to_the_same_adapter(trained, config, monkeypatch):
    """A run that is cut after three of its steps and started again ends like one that was left alone."""
    data, root, *_ = trained
    folders = (config, data, root / "frozen", root / "verbalizer", root / "tuned-again", root / "cut")
    monkeypatch.setattr(pretrained, "SAVE_STEPS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "LetterTrainer", dying(pretrained.LetterTrainer, 3))
        with pytest.raises(KilledError):
            tune_llm_reasoner(*folders)
    assert [path.name for path in (root / "cut").glob("llm-tune-*/checkpoint-*")] == ["checkpoint-2"]
    tune_llm_reasoner(*folders)
    assert_same(adapter(root / "tuned"), adapter(root / "tuned-again"))


def test_grpo_killed_after_a_step_resumes_to_the_same_adapter(trained, config, monkeypatch):
    """The adapter, and the frozen copy of its start that KL is measured to, come back from the checkpoint."""
    data, root, *_ = trained
    folders = (config, data, root / "frozen", root / "written-again", root / "cut")
    monkeypatch.setattr(grpo, "SAVE_EVERY", 1)
    with monkeypatch.context() as patch:
        patch.setattr(grpo, "GRPOTrainer", dying(grpo.GRPOTrainer, 1))
        with pytest.raises(KilledError):
            train_llm_verbalizer(*folders)
    assert [path.name for path in (root / "cut").glob("llm-grpo-*/checkpoint-*")] == ["checkpoint-1"]
    train_llm_verbalizer(*folders)
    assert_same(adapter(root / "verbalizer"), adapter(root / "written-again"))


@pytest.mark.parametrize("loss", ["listwise", "grpo"])
def test_reasoner_learns_a_rule_by_each_loss(trained, config, loss, monkeypatch):
    """Where the truth always stands at A, some steps make A the answer."""
    data, root, *_ = trained
    learn = Config.model_validate(
        {**config.model_dump(), "reasoner": {**config.reasoner.model_dump(), "loss": loss, "tune_steps": 12}}
    )
    drawn = ChoiceLists.__getitem__

    def first(self, index):
        example = drawn(self, index)
        truth = example["candidates"].pop(example["truth"])
        return {**example, "candidates": [truth, *example["candidates"]], "truth": 0}

    monkeypatch.setattr(ChoiceLists, "__getitem__", first)
    out = root / f"rule-{loss}"
    tune_llm_reasoner(learn, data, root / "frozen", root / "verbalizer", out, root / f"rule-checkpoints-{loss}")
    items = load_dataset(data).items["item_id"].to_list()[:10]
    before, after = (LetterReasoner.load(folder).score(["likes"], [items])[0] for folder in (root / "frozen", out))
    assert share_of_first(after) > share_of_first(before) + 0.1


def share_of_first(scores):
    return float(torch.softmax(torch.tensor(scores), 0)[0])


def test_list_scores_of_a_shorter_list_end_in_minus_infinity(trained):
    """Its loss is that of the list alone."""
    data, root, *_ = trained
    reasoner = LetterReasoner.load(root / "frozen")
    items = load_dataset(data).items["item_id"].to_list()
    lists = [items[:2], items[2:6]]
    batch = reasoner.prompts.batch(["likes", ""], lists)
    inputs = {"ids_BL": batch.ids_BL, "mask_BL": batch.mask_BL, "num_B": torch.tensor([2, 4])}
    with torch.no_grad():
        scores_BN = list_scores(reasoner.model, inputs, torch.tensor(reasoner.prompts.letter_ids))
    assert torch.isinf(scores_BN).tolist() == [[False, False, True, True], [False] * 4]
    alone = torch.from_numpy(reasoner.score(["likes"], [lists[0]]))
    together = listwise_loss(scores_BN[:1], torch.tensor([1]))
    torch.testing.assert_close(together, listwise_loss(alone, torch.tensor([1])), atol=1e-5, rtol=0)


def test_choice_lists_are_the_same_whenever_they_are_drawn(trained, config):
    data, root, *_ = trained
    dataset = load_dataset(data)
    table = pl.read_parquet(root / "tuned" / "texts.parquet")
    lists = ChoiceLists(config, dataset, training_log(dataset), table)
    one = [lists[index] for index in range(len(lists))]
    assert [lists[index] for index in reversed(range(len(lists)))] == one[::-1]
    assert {len(example["candidates"]) for example in one} == {10, 20}
    taken = {(row["text"], row["item_id"]) for row in table.iter_rows(named=True)}
    assert {(example["text"], example["candidates"][example["truth"]]) for example in one} <= taken


def test_grpo_options_split_a_step_into_micro_batches(config):
    options = grpo_options(config)
    assert (options["per_device_train_batch_size"], options["gradient_accumulation_steps"]) == (2, 4)  # of 8 samples
    assert options["use_vllm"] is False


@pytest.mark.parametrize(
    ("llm", "expected"),
    [
        ({"vllm": "colocate"}, {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}),
        ({"vllm": "colocate", "max_prompt_tokens": 100}, {"vllm_max_model_length": 106}),  # and 6 that are written
        ({"vllm": "server"}, {"vllm_mode": "server", "vllm_server_base_url": "http://127.0.0.1:8000"}),
    ],
)
def test_grpo_options_say_who_samples(config, llm, expected):
    asked = Config.model_validate({**config.model_dump(), "llm": {**config.llm.model_dump(), **llm}})
    options = grpo_options(asked)
    assert options["use_vllm"] is True
    assert expected.items() <= options.items()


def test_micro_batch_that_does_not_divide_a_step_is_refused(config):
    uneven = Config.model_validate({**config.model_dump(), "llm": {**config.llm.model_dump(), "micro_batch": 3}})
    with pytest.raises(ConfigError, match=r"8 samples does not divide into llm\.micro_batch = 3"):
        grpo_options(uneven)


def test_training_without_a_base_is_refused(small, tmp_path):
    data = small.workdir / "data"
    with pytest.raises(ConfigError, match=r"llm\.base is not set"):
        train_llm_verbalizer(small, data, tmp_path, tmp_path / "out", tmp_path)


def test_pointwise_loss_is_refused(config, tmp_path):
    pointwise = Config.model_validate({**config.model_dump(), "reasoner": {"loss": "pointwise"}})
    with pytest.raises(ConfigError, match="pointwise"):
        tune_llm_reasoner(pointwise, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path)
