"""Trains the rewriting Verbalizer: a supervised start on a broad mixture of styles, then GRPO against the Reasoner.

Stage 0 copies the frozen Reasoner's body, so the writer knows items and words. Stage 1 (supervised) learns to write
any style of `represent.styles`; stage 2 (`train.grpo`) learns what helps.
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
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.styles import draw_style, rewrite
from raconteur.represent.tokenizer import END, encode, for_transformers
from raconteur.retrieve.sequential import body_config, pad
from raconteur.train.choice import draw_targets, histories_of
from raconteur.train.examples import NegativeSampler, catalogue, training_log
from raconteur.train.grpo import Rollouts, train_grpo
from raconteur.train.loop import fit

MAX_EXAMPLES = 12_000
IGNORE = -100


@dataclass(frozen=True)
class Pair:
    """A raw log and one way of writing it, in token ids."""

    source: list[int]
    target: list[int]


def train_verbalizer(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the Verbalizer's folder; returns the last supervised loss and the first and last reward of GRPO."""
    dataset = load_dataset(data)
    items = catalogue(dataset)
    log = training_log(dataset, data)
    rng = np.random.default_rng([config.seed, 2])
    targets = draw_targets(log, MAX_EXAMPLES, rng)
    histories = histories_of(log, targets, config.text.max_events)
    judge = ChoiceReasoner.load(reasoner)
    verbalizer = _start(judge, config)
    prompts = verbalizer.prompts(histories)
    texts = [rewrite(history, draw_style(rng), items, config.data, rng) for history in histories]
    pairs = _pairs(prompts, texts, judge.prompts, config.verbalizer.max_new_tokens)
    key = fingerprint(config, "data", "world", "sequential", "reasoner", "text", "verbalizer", "seed")
    curves = _supervise(verbalizer, pairs, config, checkpoints / f"verbalizer-{key}.pt", key)
    rollouts = Rollouts(prompts, targets, NegativeSampler(log, tuple(items)), tuple(items))
    rewards = train_grpo(verbalizer, judge, rollouts, config, checkpoints / f"grpo-{key}")
    with new_folder(out, kind="verbalizer", config=config.model_dump(mode="json")) as folder:
        verbalizer.save(folder)
        (folder / "curves.json").write_text(json.dumps({**curves, **rewards}))
    return {
        "sft_loss": curves["loss"][-1],
        "first_reward": float(np.mean(rewards["reward"][:5])),
        "last_reward": float(np.mean(rewards["reward"][-5:])),
    }


def _start(judge: ChoiceReasoner, config: Config) -> RewriteVerbalizer:
    """A causal language model with the Reasoner's body and embeddings."""
    source: ChoiceModel = judge.model
    shape = source.body.config
    model = Qwen3ForCausalLM(
        body_config(shape.vocab_size, shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads)
    )
    model.model.load_state_dict(source.body.state_dict())
    model.tie_weights()
    return RewriteVerbalizer(
        model,
        for_transformers(judge.prompts.tokenizer),
        config.text,
        max_new_tokens=config.verbalizer.max_new_tokens,
    )


def _pairs(prompts: Sequence[str], texts: Sequence[str], encoder: Prompts, max_new_tokens: int) -> list[Pair]:
    """Pairs whose text fits the length that the Verbalizer may write."""
    end = encoder.tokenizer.token_to_id(END)
    sources, targets = encode(encoder.tokenizer, prompts), encode(encoder.tokenizer, texts)
    return [
        Pair(source, [*target, end])
        for source, target in zip(sources, targets, strict=True)
        if 0 < len(target) < max_new_tokens
    ]


def _supervise(
    verbalizer: RewriteVerbalizer, pairs: Sequence[Pair], config: Config, checkpoint: Path, key: str
) -> dict[str, list[float]]:
    settings = config.verbalizer
    pad_id = verbalizer.tokenizer.pad_token_id

    def loss_of(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = [pairs[number] for number in rng.integers(len(pairs), size=settings.sft_batch_size)]
        return _write_loss(verbalizer.model, batch, pad_id), {}

    return fit(
        verbalizer.model,
        loss_of,
        name="verbalizer",
        num_steps=settings.sft_steps,
        learning_rate=settings.learning_rate,
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
