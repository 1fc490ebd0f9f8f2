"""Supervised training of the rewriting Verbalizer: logs, and one way of writing each.

Citing is learned much faster on short logs, so the writer meets those first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen3ForCausalLM

from raconteur.config.schema import VerbalizerConfig
from raconteur.errors import TrainingError
from raconteur.hardware import attend
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.styles import Style, written
from raconteur.represent.tokenizer import encode
from raconteur.retrieve.sequential import pad
from raconteur.train.loop import fit
from raconteur.types import History

STAGES = ((0.25, 8), (0.25, 16), (0.5, 100))  # share of the steps, events a log


@dataclass(frozen=True)
class Pair:
    """A raw log and one way of writing it, in token ids."""

    source: list[int]
    target: list[int]


def supervise(
    writer: RewriteVerbalizer,
    stages: Sequence[tuple[float, Sequence[Pair]]],
    settings: VerbalizerConfig,
    *,
    name: str,
    num_steps: int,
    seed: int,
    checkpoint: Path,
    key: str,
) -> dict[str, list[float]]:
    """Trains the writer in place on each stage for its share of the steps; returns the curves.

    Batches of earlier stages, whose logs are short, are larger.

    Raises:
        TrainingError: a stage has no pairs.
    """
    if not all(pairs for _, pairs in stages):
        raise TrainingError(
            f"{name}: there is nothing to learn: no log has an event, or no text of one is shorter than "
            f"verbalizer.max_new_tokens = {settings.max_new_tokens}"
        )
    ends = np.cumsum([share for share, _ in stages]) * num_steps

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        stage = min(int(np.searchsorted(ends, step, side="right")), len(stages) - 1)
        pairs = stages[stage][1]
        size = settings.sft_batch_size * (len(stages) - stage)
        batch = [pairs[number] for number in rng.integers(len(pairs), size=size)]
        return _write_loss(writer.model, batch, writer.tokenizer.pad_token_id), {}

    return fit(
        writer.model,
        loss_of,
        name=name,
        num_steps=num_steps,
        learning_rate=settings.learning_rate,
        matrix_rate=settings.matrix_rate,
        seed=seed,
        checkpoint=checkpoint,
        fingerprint=key,
    )


def pairs_of(
    writer: RewriteVerbalizer, histories: Sequence[History], num_events: int, draw: Callable[[], Style]
) -> list[Pair]:
    """Logs of at most so many events, each in a drawn style, where that fits what the Verbalizer may write."""
    cut = [History(history.user_id, history.events[-num_events:]) for history in histories if history.events]
    prompts = [writer.prompt(history) for history in cut]
    texts = [written(history.events, draw(), writer.facts) for history in cut]
    tokenizer = writer.tokenizer.backend_tokenizer
    return [
        Pair(source, [*target, writer.tokenizer.eos_token_id])
        for source, target in zip(encode(tokenizer, prompts), encode(tokenizer, texts), strict=True)
        if 0 < len(target) < writer.max_new_tokens
    ]


def _write_loss(model: Qwen3ForCausalLM, batch: Sequence[Pair], pad_id: int) -> Tensor:
    """Mean negative log-probability of the written tokens, in nats; the log itself is not learned."""
    ids_BL, _ = pad([pair.source + pair.target for pair in batch], pad_id)
    attend(model, ids_BL.shape[1])
    states_BLW = model.model(ids_BL[:, :-1], use_cache=False).last_hidden_state
    written_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for row, pair in enumerate(batch):
        written_BL[row, len(pair.source) : len(pair.source) + len(pair.target)] = True
    written_BL = written_BL[:, 1:]
    return F.cross_entropy(model.lm_head(states_BLW[written_BL]).float(), ids_BL[:, 1:][written_BL])
