"""Trains the action Verbalizer: a supervised start on a broad mixture of styles, then GRPO in a loop of our own.

The start is the rewriting Verbalizer's (`represent.styles`), in actions instead of words. Without it nothing but one
preference for all events was learned: a reward speaks of thirty decisions at once, too softly for a model that does not
yet tell events apart.

A sample is one draw of an action for every event of a log, and all samples of a log are drawn from the logits of one
forward pass; TRL's trainer would generate them token by token. One update a batch, so the policy that is updated is the
one that was sampled: the ratio of GRPO is 1, its clipping never acts, and no KL is taken.
Source: GRPO, Shao et al., 2024 (arXiv 2402.03300, equation 3); the rewards: `train.rewards`.
Axis letters: P prompts (logs), G samples of a group, E events, A actions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen3ForCausalLM

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.action import ACTIONS, ActionVerbalizer
from raconteur.represent.citations import DROP, KEEP
from raconteur.represent.facts import Facts
from raconteur.represent.styles import draw_style, written
from raconteur.represent.tokenizer import for_transformers
from raconteur.retrieve.sequential import body_config
from raconteur.train.choice import known_items
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.identity import OF_WRITERS, training_key
from raconteur.train.loop import fit
from raconteur.train.losses import advantages
from raconteur.train.rewards import Rewards, Rollouts, draw_rollouts
from raconteur.types import History


@dataclass(frozen=True)
class Samples:
    """Actions drawn for a batch of logs.

    Attributes:
        logits_PEA: of the policy, with gradients.
        real_PE: which events exist.
        actions_PGE: places in `ACTIONS`.
        texts: what the actions write, [P * G], the samples of a log one after another.
    """

    logits_PEA: Tensor
    real_PE: Tensor
    actions_PGE: Tensor
    texts: list[str]


def train_action(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the Verbalizer's folder.

    Returns:
        Mean reward at first and at last, share of events kept and share of dropped groups at last; each over the steps
        of one log line.

    Raises:
        DataError: no first-time take of the training log has an event before it.
        TrainingError: the Reasoner does not know an item.
    """
    dataset = load_dataset(data)
    items = catalogue(dataset)
    rollouts = draw_rollouts(training_log(dataset), tuple(items), config)
    judge = ChoiceReasoner.load(reasoner)
    verbalizer = start(judge, facts_of(items, config), config)
    known_items(judge.prompts, rollouts.item_ids)
    rollouts.discoveries()  # refused before the start is trained, where there is none
    key = training_key(config, OF_WRITERS, reads=[data, reasoner])
    histories = [history for history in rollouts.histories if history.events]
    imitated = _imitate(verbalizer, histories, config, checkpoints / f"action-start-{key}.pt", key)
    rewarded = _reinforce(verbalizer, judge, rollouts, config, checkpoints / f"action-{key}.pt", key)
    curves = {"start_loss": imitated["loss"], **rewarded}
    with new_folder(out, kind="verbalizer", config=config.model_dump(mode="json")) as folder:
        verbalizer.save(folder)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {
        "first_reward": curves["reward"][0],
        "last_reward": curves["reward"][-1],
        "kept": curves["kept"][-1],
        "equal_groups": curves["equal_groups"][-1],
    }


def start(judge: ChoiceReasoner, facts: Facts, config: Config) -> ActionVerbalizer:
    """A causal language model with the Reasoner's vocabulary and embeddings, a body of its own and no preference."""
    table_TW = judge.model.body.embed_tokens.weight.detach()
    settings = config.verbalizer
    torch.manual_seed(config.seed)
    vocab_size, width = table_TW.shape
    model = Qwen3ForCausalLM(body_config(vocab_size, settings.num_layers, width, settings.num_heads))
    model.set_attn_implementation("sdpa")  # long prompts: less memory than plain attention
    tokenizer = for_transformers(judge.prompts.tokenizer)
    verbalizer = ActionVerbalizer(model, tokenizer, facts, config.text, max_new_tokens=settings.max_new_tokens)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(table_TW)
        # Never read, so these rows are a classifier of states; from zero, no event is decided by chance.
        model.model.embed_tokens.weight[verbalizer.actions_A] = 0.0
    model.tie_weights()
    return verbalizer


def draw_samples(
    verbalizer: ActionVerbalizer, histories: Sequence[History], group_size: int, generator: torch.Generator
) -> Samples:
    """`group_size` draws from the policy for each log, none of which may be empty."""
    logits_PEA, real_PE = verbalizer.policy(histories)
    probs_PEA = logits_PEA.detach().softmax(2)
    drawn = torch.multinomial(probs_PEA.flatten(0, 1), group_size, replacement=True, generator=generator)
    actions_PGE = drawn.view(*real_PE.shape, group_size).transpose(1, 2)
    repeated = [history for history in histories for _ in range(group_size)]
    texts = verbalizer.execute(repeated, actions_PGE.flatten(0, 1).tolist())
    return Samples(logits_PEA, real_PE, actions_PGE, texts)


def group_advantages(rewards_PG: Tensor, equal_P: Tensor) -> Tensor:
    """(reward - mean of its group) / (standard deviation of its group, n - 1, + 1e-4), [P, G]; 0 in equal groups.

    A hand-worked case: rewards 1, 0, 0, 1 have mean .5 and deviation sqrt(1/3), so they give .866, -.866, -.866, .866.
    """
    return advantages(rewards_PG).masked_fill(equal_P[:, None], 0.0)


def policy_loss(samples: Samples, advantages_PG: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor]:
    """Policy-gradient loss with an entropy bonus, and the mean entropy of an event in nats; both scalars.

    A sample's log-probability is the mean over its events, so that a long log weighs no more than a short one. The mean
    over samples leaves out groups whose advantages are all 0: they were dropped.
    """
    logprobs_PEA = samples.logits_PEA.log_softmax(2)
    taken_PGE = logprobs_PEA.gather(2, samples.actions_PGE.transpose(1, 2)).transpose(1, 2)
    share_PE = samples.real_PE / samples.real_PE.sum(1, keepdim=True)
    logprob_PG = (taken_PGE * share_PE[:, None]).sum(2)
    num_samples = advantages_PG.any(1).sum().clamp(min=1) * advantages_PG.shape[1]
    entropy_PE = -(logprobs_PEA.exp() * logprobs_PEA).sum(2)
    entropy = (entropy_PE * share_PE).sum(1).mean()
    return -(advantages_PG * logprob_PG).sum() / num_samples - entropy_weight * entropy, entropy.detach()


def actions_of(text: str, num_events: int) -> list[int]:
    """What a text of citations and markers (`citations`) decides about each event, oldest first.

    Markers that are no action are passed over.
    """
    decided = [ACTIONS.index(DROP)] * num_events
    row = 0
    for word in text.split():
        if word.startswith("<e"):
            row = num_events - int(word[2:-1])
            decided[row] = ACTIONS.index(KEEP)
        elif word in ACTIONS:
            decided[row] = ACTIONS.index(word)
    return decided


def _imitate(
    verbalizer: ActionVerbalizer, histories: Sequence[History], config: Config, checkpoint: Path, key: str
) -> dict[str, list[float]]:
    """Supervised start: each log is decided in a style of its own."""
    settings = config.verbalizer.action

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = [histories[row] for row in rng.integers(len(histories), size=settings.start_batch_size)]
        logits_PEA, real_PE = verbalizer.policy(batch)
        shown = [verbalizer.shown(history) for history in batch]
        texts = [written(events, draw_style(rng), verbalizer.facts) for events in shown]
        decided = [torch.tensor(actions_of(text, len(events))) for text, events in zip(texts, shown, strict=True)]
        return F.cross_entropy(logits_PEA[real_PE], torch.cat(decided)), {}

    return fit(
        verbalizer.model,
        loss_of,
        name="action start",
        num_steps=settings.start_steps,
        learning_rate=config.verbalizer.learning_rate,
        seed=config.seed,
        checkpoint=checkpoint,
        fingerprint=key,
    )


def _reinforce(
    verbalizer: ActionVerbalizer, judge: ChoiceReasoner, rollouts: Rollouts, config: Config, checkpoint: Path, key: str
) -> dict[str, list[float]]:
    settings = config.verbalizer.action
    rewards = Rewards(judge, rollouts, config)
    known = rollouts.discoveries()
    num_prompts = min(settings.prompts_per_step, len(known))

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.choice(known, size=num_prompts, replace=False)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        samples = draw_samples(verbalizer, [rollouts.histories[row] for row in rows], settings.group_size, generator)
        terms = rewards.terms(samples.texts, rows.repeat(settings.group_size).tolist(), step)
        total_PG = rewards.total(terms).reshape(num_prompts, settings.group_size)
        equal_P = rewards.equal_groups(terms, settings.group_size)
        advantages_PG = group_advantages(torch.from_numpy(total_PG).float(), torch.from_numpy(equal_P))
        loss, entropy = policy_loss(samples, advantages_PG, settings.entropy_weight)
        return loss, {
            "reward": float(total_PG.mean()),
            **{name: float(values.mean()) for name, values in terms.items()},
            "kept": _share_kept(samples),
            "entropy": entropy.item(),
            "equal_groups": float(equal_P.mean()),
        }

    return fit(
        verbalizer.model,
        loss_of,
        name="action",
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
        seed=config.seed,
        checkpoint=checkpoint,
        fingerprint=key,
    )


def _share_kept(samples: Samples) -> float:
    """Share of the events that the sampled actions keep."""
    kept_PGE = samples.actions_PGE != ACTIONS.index(DROP)
    real_PGE = samples.real_PE[:, None].expand_as(kept_PGE)
    return float(kept_PGE[real_PGE].float().mean())
