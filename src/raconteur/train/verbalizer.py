"""Trains the rewriting Verbalizer: a supervised start on a broad mixture of styles, then GRPO against the Reasoner.

The writer starts with the Reasoner's embeddings, so it knows items and words. Supervised, it learns to write any style
of `represent.styles`, first for short logs and then for longer ones, because citing is learned much faster there; then
`train.grpo` finds out what helps.
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
from raconteur.config.load import fingerprint
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.facts import Facts
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.styles import draw_style, written
from raconteur.represent.tokenizer import encode, for_transformers
from raconteur.retrieve.sequential import body_config, pad
from raconteur.train.choice import draw_targets, histories_of
from raconteur.train.examples import NegativeSampler, catalogue, facts_of, training_log
from raconteur.train.grpo import Rollouts, train_grpo
from raconteur.train.loop import fit
from raconteur.types import History

MAX_EXAMPLES = 12_000
STAGES = ((0.25, 8), (0.25, 16), (0.5, 64))  # share of the supervised steps, events a log


@dataclass(frozen=True)
class Pair:
    """A raw log and one way of writing it, in token ids."""

    source: list[int]
    target: list[int]


def train_verbalizer(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the Verbalizer's folder; returns the last supervised loss and the first and last rewards of GRPO."""
    dataset = load_dataset(data)
    items = catalogue(dataset)
    log = training_log(dataset)
    rng = np.random.default_rng([config.seed, 2])
    targets = draw_targets(log, MAX_EXAMPLES, rng)
    histories = histories_of(log, targets, config.text.max_events)
    judge = ChoiceReasoner.load(reasoner)
    writer = _start(judge, facts_of(items, config), config)
    key = fingerprint(config, "data", "world", "sequential", "reasoner", "text", "verbalizer", "seed")
    stages = [(share, _pairs(writer, histories, num_events, rng)) for share, num_events in STAGES]
    curves = _supervise(writer, stages, config, checkpoints / f"verbalizer-{key}.pt", key)
    rollouts = Rollouts(histories, targets, NegativeSampler(log, tuple(items)), tuple(items))
    rewards = train_grpo(writer, judge, rollouts, config, checkpoints / f"grpo-{key}")
    with new_folder(out, kind="verbalizer", config=config.model_dump(mode="json")) as folder:
        writer.save(folder)
        (folder / "curves.json").write_text(json.dumps({**curves, **rewards}))
    return {
        "sft_loss": curves["loss"][-1],
        "first_reward": float(np.mean(rewards["reward"][:5])),
        "last_reward": float(np.mean(rewards["reward"][-5:])),
    }


def _start(judge: ChoiceReasoner, facts: Facts, config: Config) -> RewriteVerbalizer:
    """A causal language model with the Reasoner's vocabulary and embeddings and a body of its own."""
    table_TW = judge.model.body.embed_tokens.weight.detach()
    settings = config.verbalizer
    torch.manual_seed(config.seed)
    vocab_size, width = table_TW.shape
    model = Qwen3ForCausalLM(body_config(vocab_size, settings.num_layers, width, settings.num_heads))
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(table_TW)
        for layer in model.model.layers:
            # Values that pass through a head come out as they went in: citing is copying, and learned in less steps.
            torch.nn.init.orthogonal_(layer.self_attn.v_proj.weight)
            layer.self_attn.o_proj.weight.copy_(0.5 * layer.self_attn.v_proj.weight.T)
    model.tie_weights()
    tokenizer = for_transformers(judge.prompts.tokenizer)
    return RewriteVerbalizer(model, tokenizer, facts, config.text, max_new_tokens=settings.max_new_tokens)


def _pairs(
    writer: RewriteVerbalizer, histories: Sequence[History], num_events: int, rng: np.random.Generator
) -> list[Pair]:
    """Logs of at most so many events, each with one style's text, where that fits what the Verbalizer may write."""
    cut = [History(history.user_id, history.events[-num_events:]) for history in histories if history.events]
    prompts = [writer.prompt(history) for history in cut]
    texts = [written(history.events, draw_style(rng), writer.facts) for history in cut]
    tokenizer = writer.tokenizer.backend_tokenizer
    return [
        Pair(source, [*target, writer.tokenizer.eos_token_id])
        for source, target in zip(encode(tokenizer, prompts), encode(tokenizer, texts), strict=True)
        if 0 < len(target) < writer.max_new_tokens
    ]


def _supervise(
    writer: RewriteVerbalizer,
    stages: Sequence[tuple[float, list[Pair]]],
    config: Config,
    checkpoint: Path,
    key: str,
) -> dict[str, list[float]]:
    settings = config.verbalizer
    ends = np.cumsum([share for share, _ in stages]) * settings.sft_steps

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        stage = min(int(np.searchsorted(ends, step, side="right")), len(stages) - 1)
        pairs = stages[stage][1]
        size = settings.sft_batch_size * (len(stages) - stage)
        batch = [pairs[number] for number in rng.integers(len(pairs), size=size)]
        return _write_loss(writer.model, batch, writer.tokenizer.pad_token_id), {}

    return fit(
        writer.model,
        loss_of,
        name="verbalizer",
        num_steps=settings.sft_steps,
        learning_rate=settings.learning_rate,
        matrix_rate=settings.matrix_rate,
        seed=config.seed,
        checkpoint=checkpoint,
        fingerprint=key,
    )


def _write_loss(model: Qwen3ForCausalLM, batch: Sequence[Pair], pad_id: int) -> Tensor:
    """Mean negative log-probability of the written tokens, in nats; the log itself is not learned."""
    ids_BL, _ = pad([pair.source + pair.target for pair in batch], pad_id)
    states_BLW = model.model(ids_BL[:, :-1], use_cache=False).last_hidden_state
    written_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for row, pair in enumerate(batch):
        written_BL[row, len(pair.source) : len(pair.source) + len(pair.target)] = True
    written_BL = written_BL[:, 1:]
    return F.cross_entropy(model.lm_head(states_BLW[written_BL]).float(), ids_BL[:, 1:][written_BL])
