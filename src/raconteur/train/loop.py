"""The training loop that every model of the demo profile shares.

A step's batch and dropout are drawn from (seed, step) alone, so a run killed at any step resumes to the same weights.
Checkpoints are replaced atomically and carry the fingerprint of what is trained; another config's is refused.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from raconteur.errors import TrainingError
from raconteur.hardware import autocast, muon

LOG_EVERY_S = 5.0
CHECKPOINT_EVERY_S = 20.0
CLIP_NORM = 1.0
WARMUP_SHARE = 0.05
WEIGHT_DECAY = 0.01

LossFn = Callable[[int, np.random.Generator], tuple[Tensor, dict[str, float]]]


def fit(
    model: nn.Module,
    loss_of: LossFn,
    *,
    name: str,
    num_steps: int,
    learning_rate: float,
    matrix_rate: float | None = None,
    seed: int,
    checkpoint: Path,
    fingerprint: str,
) -> dict[str, list[float]]:
    """Minimises `loss_of(step, rng)` with warm-up and a cosine, in bf16 where the processor has it.

    Args:
        loss_of: draws a batch from the generator; returns a scalar loss and figures to log.
        learning_rate: of AdamW.
        matrix_rate: of Muon, which then trains the hidden matrices; None: AdamW trains everything.
        checkpoint: file that is written while training and read on a restart.
        fingerprint: of the config and data; a checkpoint of another one is refused.

    Returns:
        Curves: the mean loss and figures since the last log line.

    Raises:
        TrainingError: the loss or a weight is not finite, or the checkpoint belongs to another config.
    """
    optimizers = _optimizers(model, learning_rate, matrix_rate)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    start, curves = _resume(model, optimizers, checkpoint, fingerprint, num_steps)
    progress = Progress(name, num_steps, start)
    saved = time.monotonic()
    model.train()
    for step in range(start, num_steps):
        torch.manual_seed(seed * 1_000_003 + step)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * _factor(step, num_steps)
        with autocast():
            loss, figures = loss_of(step, np.random.default_rng([seed, step]))
        if not torch.isfinite(loss):
            raise TrainingError(f"{name}: the loss is {loss.item()} at step {step}; lower the learning rate")
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        for optimizer in optimizers:
            optimizer.step()
        for key, value in progress.step({"loss": loss.item(), **figures}).items():
            curves.setdefault(key, []).append(value)
        if time.monotonic() - saved > CHECKPOINT_EVERY_S:
            _save(model, optimizers, checkpoint, fingerprint, step + 1, curves)
            saved = time.monotonic()
    check_finite(model, name)
    model.eval()
    _save(model, optimizers, checkpoint, fingerprint, num_steps, curves)
    return curves


def check_finite(model: nn.Module, name: str) -> None:
    """
    Raises:
        TrainingError: a weight is not finite; the last step's loss, taken before its update, does not show that.
    """
    if not all(torch.isfinite(value).all() for value in model.parameters()):
        raise TrainingError(f"{name}: the weights are not finite any more; lower the learning rate")


class Progress:
    """Prints a line every few seconds: step, figures, pace and time left."""

    def __init__(self, name: str, num_steps: int, start: int = 0) -> None:
        self.name, self.num_steps, self.done = name, num_steps, start
        self._began = self._logged = time.monotonic()
        self._start = start
        self._figures: dict[str, list[float]] = {}

    def step(self, figures: dict[str, float]) -> dict[str, float]:
        """Counts a step; returns the means since the last line when one was printed, else nothing."""
        self.done += 1
        for key, value in figures.items():
            self._figures.setdefault(key, []).append(value)
        now = time.monotonic()
        if now - self._logged < LOG_EVERY_S and self.done < self.num_steps:
            return {}
        means = {key: float(np.mean(values)) for key, values in self._figures.items()}
        pace_s = (now - self._began) / (self.done - self._start)
        shown = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
        left_s = pace_s * (self.num_steps - self.done)
        print(
            f"{self.name} {self.done}/{self.num_steps}  {shown}  {pace_s:.2f} s/step  {left_s:.0f} s left", flush=True
        )
        self._figures, self._logged = {}, now
        return means


def _optimizers(
    model: nn.Module, learning_rate: float, matrix_rate: float | None
) -> list[torch.optim.AdamW | torch.optim.Muon]:
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        (hidden if matrix_rate and value.ndim == 2 and "layers" in name else others).append(value)
    adam = torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True)
    return [adam, muon(hidden, matrix_rate)] if matrix_rate else [adam]


def _factor(step: int, num_steps: int) -> float:
    """Share of the full rate: warm-up in a straight line, then a cosine to zero."""
    warmup = max(1, int(num_steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


def _save(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    path: Path,
    fingerprint: str,
    step: int,
    curves: dict[str, list[float]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    state = {
        "fingerprint": fingerprint,
        "step": step,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "curves": curves,
    }
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _resume(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], path: Path, fingerprint: str, num_steps: int
) -> tuple[int, dict[str, list[float]]]:
    if not path.exists():
        return 0, {}
    try:
        state = torch.load(path, weights_only=True)  # tensors and plain values only; no pickled code runs
    except Exception as error:
        raise TrainingError(f"checkpoint {path} cannot be read ({error}); delete it to start anew") from error
    if state["fingerprint"] != fingerprint:
        raise TrainingError(f"checkpoint {path} belongs to another config or data set; delete it to start anew")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    print(f"resumed {path.name} at step {state['step']}/{num_steps}", file=sys.stderr, flush=True)
    return state["step"], state["curves"]
