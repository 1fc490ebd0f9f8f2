"""GRPO of a tiny untrained writer: what TRL makes of the rewards, what stops it, and that it resumes exactly."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from datasets import Dataset
from transformers import Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.errors import DataError, TrainingError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.citations import VOCABULARY
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.tokenizer import for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.train.examples import NegativeSampler, TrainingLog
from raconteur.train.grpo import FIGURES, train_grpo
from raconteur.train.rewards import Rollouts
from raconteur.types import Event, History

ITEMS = tuple("abcdefghij")
START = datetime(2024, 1, 1, tzinfo=UTC)
GROUP = 3


def config(**grpo):
    return Config.model_validate(
        {
            "evaluate": {"num_candidates": 3},
            "verbalizer": {
                "max_new_tokens": 6,
                "grpo": {"num_steps": 7, "prompts_per_step": 2, "group_size": GROUP, "learning_rate": 1e-2, **grpo},
            },
        }
    )


@pytest.fixture(scope="module")
def rollouts():
    """Ten users who played three films each in a ring and then the next one."""
    taken = {user: [ITEMS[(user + step) % 10] for step in range(4)] for user in range(10)}
    histories = [
        History(
            str(user), tuple(Event(item, START + timedelta(days=day), "play") for day, item in enumerate(items[:3]))
        )
        for user, items in taken.items()
    ]
    rows = [(str(user), item) for user, items in taken.items() for item in items]
    events = pl.DataFrame(rows, schema=[c.USER_ID, c.ITEM_ID], orient="row")
    targets = pl.DataFrame({c.USER_ID: list(map(str, taken)), c.ITEM_ID: [items[3] for items in taken.values()]})
    targets = targets.with_columns(pl.lit(True).alias(c.DISCOVERY))
    return Rollouts(histories, targets, NegativeSampler(TrainingLog(events, targets, [], []), ITEMS), ITEMS)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["0d 1d 2d play"] * 9, [*map(mention, ITEMS), *VOCABULARY], 280)


@pytest.fixture(scope="module")
def judge(tokenizer):
    torch.manual_seed(1)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=96))


@pytest.fixture
def deaf_judge(tokenizer):
    """A Reasoner whose layers add nothing: it scores an item alike whatever the text says."""
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    for layer in model.body.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=96))


def writer(tokenizer, settings):
    torch.manual_seed(2)
    model = Qwen3ForCausalLM(body_config(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2))
    facts = Facts(dict.fromkeys(ITEMS, ("drama",)), settings.data)
    return RewriteVerbalizer(
        model, for_transformers(tokenizer), facts, settings.text, max_new_tokens=settings.verbalizer.max_new_tokens
    )


def weights(verbalizer):
    return {name: value.clone() for name, value in verbalizer.model.state_dict().items()}


def equal(first, second):
    return all(first[name].equal(second[name]) for name in first)


def logged_groups(folder):
    """Rewards and advantages [G, GROUP] of every step, as TRL wrote them."""
    for path in sorted((folder / "completions").glob("*.parquet")):
        table = pl.read_parquet(path)
        yield tuple(table[name].to_numpy().reshape(-1, GROUP) for name in ("reward", "advantage"))


def test_train_grpo_resumes_to_the_same_weights_and_curves(tmp_path, tokenizer, judge, rollouts):
    settings = config()
    whole, resumed = writer(tokenizer, settings), writer(tokenizer, settings)
    curves = train_grpo(whole, judge, rollouts, settings, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-7"]
    shutil.rmtree(tmp_path / "checkpoint-7")
    (tmp_path / "checkpoint-6").mkdir()  # killed while it wrote this one
    (tmp_path / "checkpoint-6" / "trainer_state.json").write_text('{"global_step"')
    torch.manual_seed(99)
    assert train_grpo(resumed, judge, rollouts, settings, tmp_path) == curves
    assert equal(weights(whole), weights(resumed))
    assert not equal(weights(whole), weights(writer(tokenizer, settings)))


def test_train_grpo_started_again_when_done_changes_nothing(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=2)
    first, again = writer(tokenizer, settings), writer(tokenizer, settings)
    curves = train_grpo(first, judge, rollouts, settings, tmp_path)
    assert train_grpo(again, judge, rollouts, settings, tmp_path) == curves
    assert equal(weights(first), weights(again))


def test_train_grpo_curves_hold_every_figure_of_every_step(tmp_path, tokenizer, judge, rollouts, capsys):
    settings = config(num_steps=3)
    curves = train_grpo(writer(tokenizer, settings), judge, rollouts, settings, tmp_path)
    assert {name: len(values) for name, values in curves.items()} == dict.fromkeys(FIGURES, 3)
    assert curves["kl"][0] == pytest.approx(0.0, abs=1e-6)  # the first step is the start
    expected = [
        0.9 * probability + 0.1 * length + 0.1 * valid
        for probability, length, valid in zip(curves["probability"], curves["length"], curves["valid"], strict=True)
    ]
    np.testing.assert_allclose(curves["reward"], expected, rtol=1e-5)
    line = capsys.readouterr().out
    assert "grpo 3/3" in line
    assert all(name in line for name in ("reward", "gain", "equal_groups", "s left"))


def test_train_grpo_advantages_are_standardised_in_their_group(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=2, reward="gain")
    train_grpo(writer(tokenizer, settings), judge, rollouts, settings, tmp_path, options={"log_completions": True})
    steps = list(logged_groups(tmp_path))
    assert len(steps) == 2
    for rewards, advantages in steps:
        mean, std = rewards.mean(axis=1, keepdims=True), rewards.std(axis=1, ddof=1, keepdims=True)
        np.testing.assert_allclose(advantages, (rewards - mean) / (std + 1e-4), rtol=1e-3, atol=1e-4)
    assert any(np.ptp(rewards, axis=1).max() > 0 for rewards, _ in steps)


def test_train_grpo_judge_that_cannot_tell_texts_apart_moves_nothing(tmp_path, tokenizer, deaf_judge, rollouts):
    """The lengths differ, yet no group is driven by them alone."""
    settings = config(num_steps=2, beta=0.0)
    verbalizer = writer(tokenizer, settings)
    before = weights(verbalizer)
    curves = train_grpo(verbalizer, deaf_judge, rollouts, settings, tmp_path, options={"log_completions": True})
    assert curves["equal_groups"] == [1.0, 1.0]
    assert len(set(curves["length"])) > 1
    assert all((advantages == 0).all() for _, advantages in logged_groups(tmp_path))
    assert equal(before, weights(verbalizer))


def test_train_grpo_collapse_goes_back_to_the_best_checkpoint(tmp_path, tokenizer, judge, rollouts, capsys):
    settings = config(num_steps=30, max_kl=1e-9)
    verbalizer, again = writer(tokenizer, settings), writer(tokenizer, settings)
    curves = train_grpo(verbalizer, judge, rollouts, settings, tmp_path)
    assert "grpo stops at step 10" in capsys.readouterr().out
    assert len(curves["reward"]) == 10
    kept = Qwen3ForCausalLM.from_pretrained(tmp_path / "checkpoint-5").state_dict()
    assert equal(kept, weights(verbalizer))
    train_grpo(again, judge, rollouts, settings, tmp_path)
    assert equal(kept, weights(again))


def test_train_grpo_odd_number_of_samples_a_step_is_trained(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=1, prompts_per_step=3)
    assert len(train_grpo(writer(tokenizer, settings), judge, rollouts, settings, tmp_path)["reward"]) == 1


def test_train_grpo_no_steps_leaves_the_start(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=0)
    verbalizer = writer(tokenizer, settings)
    before = weights(verbalizer)
    assert train_grpo(verbalizer, judge, rollouts, settings, tmp_path)["reward"] == []
    assert equal(before, weights(verbalizer))


@pytest.mark.parametrize(
    "num_steps", [1, 3]
)  # in the last step, and where weights that are not finite are sampled from
def test_train_grpo_that_diverges_is_refused(tmp_path, tokenizer, judge, rollouts, num_steps):
    settings = config(num_steps=num_steps, learning_rate=float("inf"))
    with pytest.raises(TrainingError, match="grpo: the weights are not finite"):
        train_grpo(writer(tokenizer, settings), judge, rollouts, settings, tmp_path)


def test_train_grpo_takes_that_nothing_happened_before_are_left_out(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=1)
    empty = [History(history.user_id, ()) for history in rollouts.histories]
    with pytest.raises(DataError, match="something happened before"):
        train_grpo(writer(tokenizer, settings), judge, replace(rollouts, histories=empty), settings, tmp_path)


def test_train_grpo_log_without_first_time_takes_is_refused(tmp_path, tokenizer, judge, rollouts):
    settings = config()
    repeats = Rollouts(
        rollouts.histories,
        rollouts.targets.with_columns(pl.lit(False).alias(c.DISCOVERY)),
        rollouts.sampler,
        rollouts.item_ids,
    )
    with pytest.raises(DataError, match="first-time"):
        train_grpo(writer(tokenizer, settings), judge, repeats, settings, tmp_path)


def test_train_grpo_artefact_does_not_name_the_folder_of_its_start(tmp_path, tokenizer, judge, rollouts):
    settings = config(num_steps=1)
    verbalizer = writer(tokenizer, settings)
    train_grpo(verbalizer, judge, rollouts, settings, tmp_path / "checkpoints")
    (tmp_path / "out").mkdir()
    verbalizer.save(tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()


def test_trl_advantages_of_a_group_by_hand(tmp_path, tokenizer):
    # (1, 0, 0): mean 1/3, deviation sqrt(1/3) = .5774 with one degree of freedom less; (2/3) / .5775 = 1.1545
    def reward(completions, **_):
        return [1.0, 0.0, 0.0, 0.7, 0.7, 0.7]

    options = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=2 * GROUP,
        num_generations=GROUP,
        max_completion_length=2,
        use_cpu=True,
        bf16=False,
        log_completions=True,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
    )
    verbalizer = writer(tokenizer, config())
    prompts = Dataset.from_dict({"prompt": [f"play {mention(item)}" for item in ITEMS]})
    GRPOTrainer(verbalizer.model, reward, options, prompts, processing_class=verbalizer.tokenizer).train()
    ((_, advantages),) = logged_groups(tmp_path)
    np.testing.assert_allclose(advantages[0], [1.1545, -0.5773, -0.5773], atol=1e-4)
    np.testing.assert_allclose(advantages[1], 0.0, atol=2e-3)  # .7 is no binary number: why dropped groups get 0
