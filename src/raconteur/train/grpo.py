"""GRPO for the rewriting Verbalizer, by TRL; the reward is how well the frozen Reasoner then predicts (`rewards`).

One reward function hands TRL the weighted sum, because dropping a group takes all terms at once: where the Reasoner
tells no sample of a group from another, every sample gets 0, so that its advantages are exactly zero and the length
term cannot drive the update alone. Training stops when the writer collapses, and goes back to the best checkpoint.
What a step samples follows from seed and step alone, so a training killed at any step resumes to the same weights.
Source: GRPO, Shao et al., 2024 (arXiv 2402.03300); advantage = (reward - mean) / (std + 1e-4) over the group.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import is_peft_model
from datasets import Dataset as PromptTable
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from raconteur.config.schema import Config
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.citations import resolve
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.train.collapse import WINDOW, collapsed
from raconteur.train.loop import Progress, check_finite
from raconteur.train.rewards import Rewards, Rollouts
from raconteur.train.shared_prompts import SharedPromptTrainer

Curves = dict[str, list[float]]
# Our names of what TRL logs: what `Rewards.figures` says under a prefix, and its own figures.
FIGURES = {
    "reward": "texts/reward",
    "accuracy": "texts/accuracy",
    "probability": "texts/probability",
    "gain": "texts/gain",
    "length": "texts/length",
    "ratio": "texts/ratio",
    "valid": "texts/valid",
    "equal_groups": "texts/equal_groups",
    "distinct": "texts/distinct",
    "empty": "texts/empty",
    "num_tokens": "completions/mean_length",
    "at_limit": "completions/clipped_ratio",
    "kl": "kl",
}

SAVE_EVERY = 5  # steps; at most half of `collapse.WINDOW`, so that there is a checkpoint to go back to
KEPT = 2  # checkpoints: the newest and the best


def train_grpo(
    verbalizer: RewriteVerbalizer,
    judge: ChoiceReasoner,
    rollouts: Rollouts,
    config: Config,
    checkpoints: Path,
    *,
    options: Mapping[str, Any] | None = None,
) -> Curves:
    """Trains the Verbalizer in place and returns its curves, a value a step, by the names of `FIGURES`.

    Args:
        checkpoints: folder of this training alone; where it holds a checkpoint, training goes on from there.
        options: further settings of TRL's `GRPOConfig`: devices, precision, vLLM.

    Raises:
        DataError: no first-time take of the rollouts has an event before it.
        TrainingError: a weight is not finite.
    """
    settings = config.verbalizer.grpo
    if settings.num_steps == 0:
        return {name: [] for name in FIGURES}
    if settings.beta > 0 and not is_peft_model(verbalizer.model):
        _keep_start(verbalizer, checkpoints / "start")
    verbalizer.model.set_attn_implementation("sdpa")  # long prompts: less memory than plain attention
    # Under LoRA the model may be wrapped, sharded and sampled from by vLLM, all of which TRL's own trainer knows.
    trainer = (GRPOTrainer if is_peft_model(verbalizer.model) else SharedPromptTrainer)(
        model=verbalizer.model,
        reward_funcs=reward_function(Rewards(judge, rollouts, config), verbalizer, rollouts, settings.group_size),
        args=GRPOConfig(**{**_arguments(config, checkpoints), **(options or {})}),
        train_dataset=_prompt_table(verbalizer, rollouts, config),
        processing_class=verbalizer.tokenizer,
        callbacks=[_Seeds(), _Lines(settings.num_steps), _Guard(settings.max_kl)],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=newest_checkpoint(checkpoints))
    except Exception:
        check_finite(verbalizer.model, "grpo")  # which says why sampling failed
        raise
    check_finite(verbalizer.model, "grpo")
    verbalizer.model.eval()
    return _curves(trainer.state.log_history)


def first_and_last(curves: Curves) -> dict[str, float]:
    """Mean rewards of the first and of the last five steps; nothing of a training without steps."""
    figures = {"first_reward": curves["reward"][:5], "last_reward": curves["reward"][-5:]}
    return {name: float(np.mean(values)) for name, values in figures.items() if values}


def reward_function(
    rewards: Rewards, verbalizer: RewriteVerbalizer, rollouts: Rollouts, group_size: int
) -> Callable[..., list[float | None]]:
    """What TRL calls each step with completions and the columns of the prompt table, groups one after another."""

    def reward(
        completions: list[str], row: list[int], trainer_state: Any, log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float | None]:
        texts = [
            resolve(completion, verbalizer.shown(rollouts.histories[number]), verbalizer.facts)
            for completion, number in zip(completions, row, strict=True)
        ]
        terms = rewards.terms(texts, row, trainer_state.global_step, completions)
        for name, value in rewards.figures(terms, texts, group_size).items():
            log_metric(FIGURES[name], value)
        equal = np.repeat(rewards.equal_groups(terms, group_size), group_size)
        return [float(value) for value in np.where(equal, 0.0, rewards.total(terms))]

    return reward


def _arguments(config: Config, checkpoints: Path) -> dict[str, Any]:
    settings = config.verbalizer.grpo
    num_samples = settings.prompts_per_step * settings.group_size
    return {
        "output_dir": str(checkpoints),
        "max_steps": settings.num_steps,
        "per_device_train_batch_size": num_samples,
        "gradient_accumulation_steps": 1,
        "num_generations": settings.group_size,
        "max_completion_length": config.verbalizer.max_new_tokens,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": min(5, settings.num_steps),
        "beta": settings.beta,
        "temperature": 1.0,
        "seed": config.seed,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,  # TRL's default computes every layer twice to save memory
        "log_level": "warning",
        "logging_steps": 1,
        "save_steps": SAVE_EVERY,
        "save_total_limit": KEPT,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def _keep_start(verbalizer: RewriteVerbalizer, folder: Path) -> None:
    """Writes the writer that GRPO starts from, from which TRL loads the model that the KL is measured to.

    An adapter needs none: TRL keeps a copy of it, or switches it off.
    """
    verbalizer.model.save_pretrained(folder)
    verbalizer.model.config.name_or_path = str(folder)


def _prompt_table(verbalizer: RewriteVerbalizer, rollouts: Rollouts, config: Config) -> PromptTable:
    """Prompts of first-time takes, as many as the steps need; where there are fewer they come again."""
    num = config.verbalizer.grpo.num_steps * config.verbalizer.grpo.prompts_per_step
    chosen = np.resize(np.random.default_rng([config.seed, 3]).permutation(rollouts.discoveries()), num)
    return PromptTable.from_dict(
        {"prompt": [verbalizer.prompt(rollouts.histories[row]) for row in chosen], "row": chosen.tolist()}
    )


class _Seeds(TrainerCallback):
    """Draws each step's samples and dropout from (seed, step, process), whatever ran before."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        torch.manual_seed((args.seed * 1_000_003 + state.global_step) * args.world_size + args.process_index)


class _Lines(TrainerCallback):
    """Prints a progress line from what TRL logs."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress = Progress("grpo", self._num_steps, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if figures := _figures(logs or {}):
            self._progress.step(figures)


class _Guard(TrainerCallback):
    """Marks the best checkpoint by the reward's newest window; stops a collapse and goes back to that one."""

    def __init__(self, max_kl: float) -> None:
        self._max_kl = max_kl

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not _figures(logs or {}):
            return
        curves = _curves(state.log_history)
        if reason := collapsed(curves, self._max_kl):
            print(
                f"grpo stops at step {state.global_step}: {reason}; back to step {state.best_global_step}", flush=True
            )
            control.should_training_stop = True
            control.should_save = False  # so that a restart meets the collapse again, and ends alike
            args.load_best_model_at_end = True
        elif control.should_save:
            reward = float(np.mean(curves["reward"][-WINDOW:]))
            if state.best_metric is None or reward > state.best_metric:
                state.best_metric, state.best_global_step = reward, state.global_step


def _curves(history: Sequence[Mapping[str, Any]]) -> Curves:
    """Figures of the steps in a log; its last entry is of the whole training and has none."""
    steps = [figures for entry in history if (figures := _figures(entry))]
    return {name: [figures[name] for figures in steps] for name in steps[0]} if steps else {}


def _figures(logs: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(logs[logged]) for name, logged in FIGURES.items() if logged in logs}


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: its state is written last."""
    whole = [path for path in folder.glob("checkpoint-*") if _readable(path / "trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _readable(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True
