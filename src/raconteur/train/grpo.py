"""GRPO for the rewriting Verbalizer, by TRL; the reward is how well the frozen Reasoner then predicts.

reward = w * P(the Reasoner picks the item that the user took) + (1 - w) * length plateau. The probability is the
expected 0/1 accuracy of a Reasoner that samples its choice; it replaces the sampled value because it has the same mean
and less variance. Candidates are drawn and shuffled anew for every sample, so a text cannot earn by their order.
Source: "From Logs to Language" (arXiv 2602.20558) for the reward's shape; GRPO: Shao et al., 2024.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from datasets import Dataset as PromptTable
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.citations import resolve
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.template import TemplateVerbalizer
from raconteur.train.examples import NegativeSampler
from raconteur.train.loop import Progress
from raconteur.types import FloatArray, History

Reward = Callable[..., list[float | None]]  # called by TRL with keywords: completions and the columns of the table
# Our names of what TRL logs.
FIGURES = {
    "reward": "reward",
    "accuracy": "rewards/accuracy/mean",
    "length": "completions/mean_length",
    "equal_groups": "frac_reward_zero_std",
}

MICRO_STEPS = 2  # parts of a step that pass through the model one after another: bounds memory
DRAWS = 4  # candidate lists over which one text is judged
PLATEAU = (0.3, 0.7)  # length of the text over that of the template, in tokens, that earns the full reward


@dataclass(frozen=True)
class Rollouts:
    """What a sample is drawn from: histories, the takes that follow them, and negatives."""

    histories: Sequence[History]
    targets: pl.DataFrame
    sampler: NegativeSampler
    item_ids: tuple[str, ...]


def train_grpo(
    verbalizer: RewriteVerbalizer, judge: ChoiceReasoner, rollouts: Rollouts, config: Config, checkpoints: Path
) -> dict[str, list[float]]:
    """Trains the Verbalizer in place and returns its curves (`FIGURES`), one value a step."""
    settings = config.verbalizer.grpo
    per_step = settings.prompts_per_step * settings.group_size
    arguments = GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=settings.num_steps,
        per_device_train_batch_size=per_step // MICRO_STEPS,
        gradient_accumulation_steps=MICRO_STEPS,
        num_generations=settings.group_size,
        max_completion_length=config.verbalizer.max_new_tokens,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=min(5, settings.num_steps),
        beta=settings.beta,
        temperature=1.0,
        seed=config.seed,
        use_cpu=True,
        bf16=False,
        log_level="warning",
        logging_steps=1,
        save_steps=10,
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    verbalizer.model.set_attn_implementation("sdpa")  # long prompts: less memory than plain attention
    trainer = GRPOTrainer(
        model=verbalizer.model,
        reward_funcs=[
            _accuracy_reward(judge, verbalizer, rollouts, config),
            _length_reward(judge, verbalizer, rollouts),
        ],
        args=arguments,
        train_dataset=_prompt_table(verbalizer, rollouts, config),
        processing_class=verbalizer.tokenizer,
        callbacks=[_Lines(settings.num_steps)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.reward_weights = trainer.reward_weights.new_tensor([settings.accuracy_weight, 1 - settings.accuracy_weight])
    trainer.train(resume_from_checkpoint=_newest(checkpoints))
    verbalizer.model.eval()
    logged = [_figures(entry) for entry in trainer.state.log_history if "reward" in entry]
    return {name: [figures[name] for figures in logged] for name in FIGURES}


def length_plateau(num_text: FloatArray, num_log: FloatArray) -> FloatArray:
    """1 where text/log length lies in the plateau, falling in a straight line to 0 at ratios 0 and 1.

    A hand-worked case: 15 tokens for a log of 100 earn .5; 30 to 70 earn 1; 85 earn .5; 100 or more earn 0.
    """
    low, high = PLATEAU
    ratio = num_text / np.maximum(num_log, 1)
    return np.clip(np.minimum(ratio / low, (1 - ratio) / (1 - high)), 0.0, 1.0)


def _prompt_table(verbalizer: RewriteVerbalizer, rollouts: Rollouts, config: Config) -> PromptTable:
    """Prompts of first-time takes, in the order in which GRPO meets them."""
    rows = np.flatnonzero(rollouts.targets[c.DISCOVERY].to_numpy())
    num = config.verbalizer.grpo.num_steps * config.verbalizer.grpo.prompts_per_step
    chosen = np.random.default_rng([config.seed, 3]).permutation(rows)[: max(num, 1)]
    return PromptTable.from_dict(
        {"prompt": [verbalizer.prompt(rollouts.histories[row]) for row in chosen], "row": chosen.tolist()}
    )


def _accuracy_reward(
    judge: ChoiceReasoner, verbalizer: RewriteVerbalizer, rollouts: Rollouts, config: Config
) -> Reward:
    users = np.array([rollouts.sampler.users[user] for user in rollouts.targets[c.USER_ID]])
    truths = rollouts.targets[c.ITEM_ID].to_list()

    def accuracy(completions: list[str], row: list[int], trainer_state: Any, **_: Any) -> list[float | None]:
        rng = np.random.default_rng([config.seed, 4, trainer_state.global_step])  # the step's own: a resume draws alike
        texts = _resolved(completions, row, verbalizer, rollouts)
        total = np.zeros(len(texts))
        for _draw in range(DRAWS):
            # One set of negatives a prompt, so that its group is compared on equal terms; orders differ by sample.
            drawn = {
                number: rollouts.sampler.draw(users[[number]], config.evaluate.num_candidates - 1, rng)[0]
                for number in dict.fromkeys(row)
            }
            lists = [[truths[number], *(rollouts.item_ids[item] for item in drawn[number])] for number in row]
            orders = [rng.permutation(len(candidates)) for candidates in lists]
            shuffled = [[candidates[i] for i in order] for candidates, order in zip(lists, orders, strict=True)]
            scores = judge.score(texts, shuffled)
            total += [_softmax(line)[np.argmin(order)] for line, order in zip(scores, orders, strict=True)]
        return list(total / DRAWS)

    return accuracy


def _length_reward(judge: ChoiceReasoner, verbalizer: RewriteVerbalizer, rollouts: Rollouts) -> Reward:
    log = TemplateVerbalizer(
        judge.prompts.tokenizer, budget_tokens=judge.prompts.history_tokens, max_events=verbalizer.text.max_events
    )

    def length(completions: list[str], row: list[int], **_: Any) -> list[float | None]:
        texts = _resolved(completions, row, verbalizer, rollouts)
        raw = log.write([rollouts.histories[number] for number in row])
        return list(length_plateau(_num_tokens(judge, texts), _num_tokens(judge, raw)))

    return length


def _resolved(completions: list[str], rows: list[int], verbalizer: RewriteVerbalizer, rollouts: Rollouts) -> list[str]:
    return [
        resolve(text, verbalizer.shown(rollouts.histories[number]), verbalizer.facts)
        for text, number in zip(completions, rows, strict=True)
    ]


def _num_tokens(judge: ChoiceReasoner, texts: Sequence[str]) -> FloatArray:
    return np.array([len(ids) for ids in judge.prompts.encode_texts(texts)], dtype=np.float64)


class _Lines(TrainerCallback):
    """Prints a progress line from what TRL logs."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress = Progress("grpo", self._num_steps, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "reward" in logs:
            self._progress.step(_figures(logs))


def _figures(logs: dict[str, Any]) -> dict[str, float]:
    return {name: float(logs[logged]) for name, logged in FIGURES.items()}


def _newest(folder: Path) -> str | None:
    saved = sorted(folder.glob("checkpoint-*"), key=os.path.getmtime)
    return str(saved[-1]) if saved else None


def _softmax(scores: FloatArray) -> FloatArray:
    powers = np.exp(scores - np.nanmax(scores))
    return powers / np.nansum(powers)
