"""Trains the rewriting Verbalizer: a supervised start on a broad mixture of styles, then the Reasoner's judgement.

The writer starts with the Reasoner's embeddings, so it knows items and words. Supervised, it learns to write any style
of `represent.styles` (`start_verbalizer`: what an untuned writer does). Then it learns the style that the frozen
Reasoner was measured to read best (`teach_style`: rejection sampling of whole ways of writing), and GRPO goes on from
there, text by text (`reward_verbalizer`). A step of no training steps hands on the writer that it was given.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3ForCausalLM

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.prompts import same_vocabulary
from raconteur.represent.facts import Facts
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.styles import draw_style
from raconteur.represent.tokenizer import for_transformers
from raconteur.retrieve.sequential import body_config
from raconteur.train.best import best_style
from raconteur.train.choice import draw_targets, histories_of, known_items
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.grpo import first_and_last, train_grpo
from raconteur.train.identity import OF_WRITERS, training_key
from raconteur.train.rewards import MAX_EXAMPLES, Rewards, Rollouts, draw_rollouts
from raconteur.train.supervise import STAGES, pairs_of, supervise

CURVES = "curves.json"


def start_verbalizer(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """Writes the folder of the supervised writer, which everything else starts from; returns the last loss."""
    dataset = load_dataset(data)
    log = training_log(dataset)
    rng = np.random.default_rng([config.seed, 2])
    histories = histories_of(log, draw_targets(log, MAX_EXAMPLES, rng), config.text.max_events)
    writer = _start(ChoiceReasoner.load(reasoner), facts_of(catalogue(dataset), config), config)
    key = training_key(config, OF_WRITERS, reads=[data, reasoner])
    curves = supervise(
        writer,
        [(share, pairs_of(writer, histories, length, lambda: draw_style(rng))) for share, length in STAGES],
        config.verbalizer,
        name="verbalizer",
        num_steps=config.verbalizer.sft_steps,
        seed=config.seed,
        checkpoint=checkpoints / f"verbalizer-{key}.pt",
        key=key,
    )
    _save(writer, curves, config, out)
    return {"sft_loss": curves["loss"][-1]}


def teach_style(config: Config, data: Path, reasoner: Path, start: Path, out: Path, checkpoints: Path) -> None:
    """Writes the folder of a writer that goes on from `start` with the style that the Reasoner reads best."""
    writer, judge, rollouts = _opened(config, data, reasoner, start)
    curves = json.loads((start / CURVES).read_text())
    if config.verbalizer.best_steps > 0:
        key = training_key(config, OF_WRITERS, reads=[data, reasoner, start])
        curves["best_loss"] = _teach(writer, judge, rollouts, config, checkpoints, key)
    _save(writer, curves, config, out)


def reward_verbalizer(
    config: Config, data: Path, reasoner: Path, start: Path, out: Path, checkpoints: Path
) -> dict[str, float]:
    """Writes the folder of a writer that goes on from `start` by GRPO; returns the first and last rewards."""
    writer, judge, rollouts = _opened(config, data, reasoner, start)
    key = training_key(config, OF_WRITERS, reads=[data, reasoner, start])
    rewards = train_grpo(writer, judge, rollouts, config, checkpoints / f"grpo-{key}")
    _save(writer, json.loads((start / CURVES).read_text()) | rewards, config, out)
    return first_and_last(rewards)


def train_verbalizer(config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path) -> dict[str, float]:
    """All three in a row, the first two kept below `checkpoints`; returns the first and last rewards of GRPO."""
    key = training_key(config, OF_WRITERS, reads=[data, reasoner])
    start, best = (checkpoints / f"{name}-{key}" for name in ("start", "best"))
    if not start.exists():
        start_verbalizer(config, data, reasoner, start, checkpoints)
    if not best.exists():
        teach_style(config, data, reasoner, start, best, checkpoints)
    return reward_verbalizer(config, data, reasoner, best, out, checkpoints)


def _opened(
    config: Config, data: Path, reasoner: Path, start: Path
) -> tuple[RewriteVerbalizer, ChoiceReasoner, Rollouts]:
    dataset = load_dataset(data)
    writer, judge = RewriteVerbalizer.load(start), ChoiceReasoner.load(reasoner)
    same_vocabulary(judge.prompts.tokenizer, writer.tokenizer.backend_tokenizer)
    item_ids = tuple(catalogue(dataset))
    known_items(judge.prompts, item_ids)
    return writer, judge, draw_rollouts(training_log(dataset), item_ids, config)


def _save(writer: RewriteVerbalizer, curves: dict[str, list[float]], config: Config, out: Path) -> None:
    with new_folder(out, kind="verbalizer", config=config.model_dump(mode="json")) as folder:
        writer.save(folder)
        (folder / CURVES).write_text(json.dumps(curves))


def _teach(
    writer: RewriteVerbalizer, judge: ChoiceReasoner, rollouts: Rollouts, config: Config, checkpoints: Path, key: str
) -> list[float]:
    """Teaches the style in place; returns the losses."""
    settings = config.verbalizer
    rng = np.random.default_rng([config.seed, 6])
    style = best_style(Rewards(judge, rollouts, config), rollouts, writer.facts, config.text, rng)
    pairs = pairs_of(writer, rollouts.histories, config.text.max_events, lambda: style)
    return supervise(
        writer,
        [(1.0, pairs)],
        settings.model_copy(
            update={"learning_rate": settings.learning_rate / 2, "matrix_rate": settings.matrix_rate / 2}
        ),
        name="best style",
        num_steps=settings.best_steps,
        seed=config.seed,
        checkpoint=checkpoints / f"best-{key}.pt",
        key=key,
    )["loss"]


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
