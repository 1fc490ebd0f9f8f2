"""The action Verbalizer's training: advantages and loss by hand, a reward it must learn, and the whole step."""

import json
import math
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from raconteur.config.schema import Config, DataConfig
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.action import ACTIONS, PRIOR, ActionVerbalizer
from raconteur.represent.citations import CATEGORY, DROP, KEEP, RAW, VOCABULARY, cited
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.action import Samples, actions_of, draw_samples, group_advantages, policy_loss, start, train_action
from raconteur.train.choice import histories_of
from raconteur.train.examples import training_log
from raconteur.train.loop import fit
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.types import Event, History

NONE_EQUAL = torch.tensor([False])
NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def writer():
    """Untrained, over ten items of two categories."""
    items = [str(number) for number in range(10)]
    tokenizer = train_tokenizer([" 0d play 43 tv", " 0d impression tv"] * 20, [*map(mention, items), *VOCABULARY], 300)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=32, num_heads=2, dropout=0.0)
    facts = Facts({item: ("drama" if int(item) % 2 else "crime",) for item in items}, DataConfig())
    config = Config.model_validate({"verbalizer": {"num_layers": 1, "num_heads": 2}})
    return start(ChoiceReasoner(model, Prompts(tokenizer, history_tokens=96)), facts, config)


def log_of(rng, num_events=6):
    """Plays and impressions in random order."""
    types = rng.choice(["play", "impression"], size=num_events)
    items = rng.choice(10, size=num_events, replace=False)
    return History(
        "ann",
        tuple(
            Event(str(item), NOON + timedelta(minutes=minute), str(kind), context={"device": "tv"})
            for minute, (item, kind) in enumerate(zip(items, types, strict=True))
        ),
    )


def samples_of(logits, real, drawn):
    return Samples(torch.tensor(logits, requires_grad=True), torch.tensor(real), torch.tensor(drawn), [])


def test_group_advantages_by_hand():
    # mean .5, deviation sqrt(4 * .25 / 3) = .5774: .5 / (.5774 + .0001)
    given_PG = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), NONE_EQUAL)
    torch.testing.assert_close(given_PG, torch.tensor([[0.86588, -0.86588, -0.86588, 0.86588]]), atol=1e-5, rtol=0)


def test_group_advantages_equal_group_is_dropped_though_its_rewards_differ_by_length():
    rewards_PG = torch.tensor([[0.3, 0.4], [0.0, 2.0]])
    advantages_PG = group_advantages(rewards_PG, torch.tensor([True, False]))
    assert advantages_PG[0].tolist() == [0.0, 0.0]
    assert advantages_PG[1].tolist() == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], abs=1e-4)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(-3, 3))
def test_group_advantages_sum_to_zero_and_ignore_a_constant(rewards, constant):
    rewards_PG = torch.tensor([rewards], dtype=torch.float64)
    advantages_PG = group_advantages(rewards_PG, NONE_EQUAL)
    assert advantages_PG.sum().item() == pytest.approx(0.0, abs=1e-8)
    torch.testing.assert_close(group_advantages(rewards_PG + constant, NONE_EQUAL), advantages_PG, atol=1e-6, rtol=1e-6)


def test_policy_loss_by_hand():
    """One log of two events, two samples. At both events the actions are as likely as 1/8, 5/8, 1/8, 1/8."""
    logits = [[[0.0, math.log(5.0), 0.0, 0.0]] * 2]
    samples = samples_of(logits, [[True, True]], [[[1, 1], [0, 1]]])
    loss, entropy = policy_loss(samples, torch.tensor([[2.0, -1.0]]), 0.0)
    # mean log-probabilities: ln 5/8 for the first sample, (ln 1/8 + ln 5/8) / 2 for the second
    first, second = math.log(5 / 8), (math.log(1 / 8) + math.log(5 / 8)) / 2
    assert loss.item() == pytest.approx(-(2.0 * first - 1.0 * second) / 2, abs=1e-6)
    by_hand = -(5 / 8 * math.log(5 / 8) + 3 / 8 * math.log(1 / 8))
    assert entropy.item() == pytest.approx(by_hand, abs=1e-6)
    with_bonus, _ = policy_loss(samples, torch.tensor([[2.0, -1.0]]), 0.1)
    assert with_bonus.item() == pytest.approx(loss.item() - 0.1 * by_hand, abs=1e-6)


def test_policy_loss_gradient_is_advantage_times_score_function():
    """d log p(taken) / d logits = 1[taken] - p; here p is 1/4 each, so the taken one gains 3/4 and the others -1/4."""
    samples = samples_of([[[0.0] * 4]], [[True]], [[[2], [2]]])
    policy_loss(samples, torch.tensor([[1.0, 1.0]]), 0.0)[0].backward()
    torch.testing.assert_close(-samples.logits_PEA.grad[0, 0], torch.tensor([-0.25, -0.25, 0.75, -0.25]))


def test_policy_loss_dropped_group_and_padding_do_not_count():
    wide = samples_of(
        [[[0.5, 1.0, 0.0, -1.0], [9.0, 0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]] * 2],
        [[True, False], [True, True]],
        [[[1, 3], [0, 2]], [[1, 1], [2, 2]]],
    )
    alone = samples_of([[[0.5, 1.0, 0.0, -1.0]]], [[True]], [[[1], [0]]])
    advantages_PG = torch.tensor([[0.7, -0.7], [0.0, 0.0]])
    loss, _ = policy_loss(wide, advantages_PG, 0.0)
    assert loss.item() == pytest.approx(policy_loss(alone, advantages_PG[:1], 0.0)[0].item(), abs=1e-6)
    loss.backward()
    assert wide.logits_PEA.grad[0, 1].abs().max() == 0.0
    assert wide.logits_PEA.grad[1].abs().max() == 0.0


def test_policy_loss_all_groups_dropped_leaves_the_entropy_alone():
    samples = samples_of([[[0.0] * 4]], [[True]], [[[0], [1]]])
    loss, _ = policy_loss(samples, torch.zeros(1, 2), 0.5)
    assert loss.item() == pytest.approx(-0.5 * math.log(4))


def test_actions_of_a_text_by_hand():
    """Events 4 and 1 are not cited; a count and a summary of taste are no actions."""
    decided = actions_of("<taste> <e5> <e3> <category> <count> <e2> <raw>", 5)
    assert [ACTIONS[action] for action in decided] == [KEEP, DROP, CATEGORY, RAW, DROP]


@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=9))
def test_actions_of_reads_back_what_a_text_was_written_from(names):
    text = " ".join(f"{cited(row, len(names))} {name}" for row, name in enumerate(names) if name != DROP)
    assert [ACTIONS[action] for action in actions_of(text, len(names))] == names


def test_start_decides_nothing_yet(writer):
    logits_PEA, _ = writer.policy([log_of(np.random.default_rng(0))])
    torch.testing.assert_close(logits_PEA.softmax(2)[0], torch.tensor([PRIOR] * 6))


def test_draw_samples_follow_the_policy_and_the_generator(writer):
    histories = [log_of(np.random.default_rng(number)) for number in range(8)]
    samples, again = (draw_samples(writer, histories, 200, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(samples.actions_PGE, again.actions_PGE)
    shares = samples.actions_PGE.flatten().bincount(minlength=4) / samples.actions_PGE.numel()
    torch.testing.assert_close(shares, torch.tensor(PRIOR), atol=0.02, rtol=0)  # 9,600 draws: four deviations


def test_draw_samples_texts_carry_out_the_actions_of_their_own_log(writer):
    histories = [log_of(np.random.default_rng(number), num_events=3 + number) for number in range(3)]
    samples = draw_samples(writer, histories, 4, torch.Generator().manual_seed(5))
    for number, history in enumerate(histories):
        for sample in range(4):
            kept = [
                event.item_id
                for event, action in zip(history.events, samples.actions_PGE[number, sample], strict=False)
                if ACTIONS[action] != DROP
            ]
            assert mentioned(samples.texts[number * 4 + sample]) == kept


def test_training_learns_to_drop_the_events_that_cost(writer, tmp_path, monkeypatch):
    """Each play that is named pays 1 and each impression costs 1; a category after a play pays a quarter more."""
    monkeypatch.setattr("raconteur.train.loop.autocast", nullcontext)  # as far in as many steps on every processor

    def earned(text: str, history: History) -> float:
        types = {event.item_id: event.event_type for event in history.events}
        named = sum(1.0 if types[item] == "play" else -1.0 for item in mentioned(text))
        return named + 0.25 * sum(text.count(word) for word in ("drama", "crime"))

    def loss_of(_step: int, rng: np.random.Generator):
        histories = [log_of(rng) for _ in range(16)]
        samples = draw_samples(writer, histories, 8, torch.Generator().manual_seed(int(rng.integers(2**63))))
        owners = [history for history in histories for _ in range(8)]
        rewards = [earned(text, history) for text, history in zip(samples.texts, owners, strict=True)]
        rewards_PG = torch.tensor(rewards).reshape(16, 8)
        advantages_PG = group_advantages(rewards_PG, rewards_PG.std(1) == 0)
        return policy_loss(samples, advantages_PG, 0.01)[0], {"reward": rewards_PG.mean().item()}

    fit(
        writer.model,
        loss_of,
        name="toy",
        num_steps=60,
        learning_rate=1e-2,
        seed=1,
        checkpoint=tmp_path / "toy.pt",
        fingerprint="toy",
    )
    fresh = [log_of(np.random.default_rng([9, number])) for number in range(50)]
    with torch.no_grad():
        probs_PEA = writer.policy(fresh)[0].softmax(2)
    played_PE = torch.tensor([[event.event_type == "play" for event in history.events] for history in fresh])
    drop, category = ACTIONS.index(DROP), ACTIONS.index(CATEGORY)
    assert probs_PEA[~played_PE][:, drop].mean() > 0.9
    assert probs_PEA[played_PE][:, drop].mean() < 0.1
    assert probs_PEA[played_PE][:, category].mean() > 0.5


@pytest.fixture(scope="module")
def trained(small):
    """Folders of a Reasoner and of an action Verbalizer, with the config and the checkpoints that made them."""
    config = Config.model_validate(
        {
            **small.model_dump(),
            "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 3},
            "reasoner": {"num_steps": 3, "batch_size": 8},
            "verbalizer": {
                "num_layers": 1,
                "num_heads": 2,
                "max_new_tokens": 24,
                "action": {"start_steps": 3, "num_steps": 3, "prompts_per_step": 2, "group_size": 2},
            },
        }
    )
    root = config.workdir / "action-test"
    data = config.workdir / "data"
    train_sequential(config, data, root / "retriever", root / "checkpoints")
    train_reasoner(config, data, root / "retriever", root / "reasoner", root / "checkpoints")
    metrics = train_action(config, data, root / "reasoner", root / "verbalizer", root / "checkpoints")
    return config, root, data, metrics


def test_train_action_reports_rewards_and_shares(trained):
    _, root, _, metrics = trained
    assert set(metrics) == {"first_reward", "last_reward", "kept", "equal_groups"}
    assert 0.0 < metrics["kept"] < 1.0
    curves = json.loads((root / "verbalizer" / "curves.json").read_text())
    terms = {"accuracy", "probability", "gain", "length", "valid"}
    assert terms | {"start_loss", "reward", "kept", "entropy", "equal_groups"} <= set(curves)


def test_train_action_started_again_ends_with_the_same_weights(trained):
    config, root, data, _ = trained
    for checkpoint in (root / "checkpoints").glob("action-*.pt"):
        checkpoint.unlink()
    train_action(config, data, root / "reasoner", root / "again", root / "checkpoints")
    first, second = (load_file(root / name / "model.safetensors") for name in ("verbalizer", "again"))
    assert all(first[name].equal(second[name]) for name in first)


def test_train_action_killed_and_resumed_ends_with_the_same_weights(trained, monkeypatch):
    config, root, data, _ = trained
    monkeypatch.setattr("raconteur.train.loop.CHECKPOINT_EVERY_S", 0.0)
    checkpoints = root / "killed"
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return policy_loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("raconteur.train.action.policy_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train_action(config, data, root / "reasoner", root / "cut", checkpoints)
    assert not (root / "cut").exists()
    train_action(config, data, root / "reasoner", root / "resumed", checkpoints)
    whole, resumed = (load_file(root / name / "model.safetensors") for name in ("verbalizer", "resumed"))
    assert all(whole[name].equal(resumed[name]) for name in whole)


def test_train_action_texts_name_only_items_of_their_own_log_and_fit(trained):
    config, root, data, _ = trained
    log = training_log(load_dataset(data))
    histories = histories_of(log, log.targets[:40], config.text.max_events)
    writer = ActionVerbalizer.load(root / "verbalizer")
    for history, text in zip(histories, writer.write(histories), strict=True):
        assert set(mentioned(text)) <= {event.item_id for event in history.events}
        assert len(writer.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids) <= 24
