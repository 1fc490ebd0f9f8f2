"""How long a GRPO step of the writer takes here: `raconteur bench grpo`.

The models are hardly trained, which costs as much and needs no preparation. Such a writer fills nearly all the tokens
that it may, so no step of that size takes longer. What a training takes beside its steps is measured by one of a single
step and taken off.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raconteur.config.schema import Config
from raconteur.data.prepare import prepare
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.train.verbalizer import CURVES, reward_verbalizer, start_verbalizer


@dataclass(frozen=True)
class StepTime:
    seconds: float  # a step
    num_parameters: int  # of the writer
    num_samples: int  # a step
    num_tokens: float  # mean length of a sample


def time_grpo_step(config: Config, folder: Path, num_steps: int) -> StepTime:
    """
    Args:
        config: says the data, the sizes of the models and the samples a step.
        folder: everything that is written.
        num_steps: over which the time of a step is the mean; too few for a collapse to be looked for.
    """
    config = _hardly_trained(config)
    data, retriever, reasoner, start = (folder / name for name in ("data", "retriever", "reasoner", "start"))
    prepare(config.model_copy(update={"workdir": folder}), data)
    train_sequential(config, data, retriever, folder)
    train_reasoner(config, data, retriever, reasoner, folder)
    start_verbalizer(config, data, reasoner, start, folder)

    def took(name: str, count: int) -> float:
        """Seconds of a training of so many steps."""
        began = time.perf_counter()
        reward_verbalizer(_with_steps(config, count), data, reasoner, start, folder / name, folder / f"{name}-steps")
        return time.perf_counter() - began

    took("first", 1)  # loads libraries and wakes threads
    alone = took("alone", 1)
    seconds = (took("timed", 1 + num_steps) - alone) / num_steps
    num_tokens = json.loads((folder / "timed" / CURVES).read_text())["num_tokens"]
    grpo = config.verbalizer.grpo
    return StepTime(
        seconds=seconds,
        num_parameters=RewriteVerbalizer.load(start).model.num_parameters(),
        num_samples=grpo.prompts_per_step * grpo.group_size,
        num_tokens=float(np.mean(num_tokens)),
    )


def _hardly_trained(config: Config) -> Config:
    once = {"num_steps": 1}
    return config.model_copy(
        update={
            "sequential": config.sequential.model_copy(update=once),
            "reasoner": config.reasoner.model_copy(update=once),
            "verbalizer": config.verbalizer.model_copy(update={"sft_steps": 1}),
        }
    )


def _with_steps(config: Config, num_steps: int) -> Config:
    grpo = config.verbalizer.grpo.model_copy(update={"num_steps": num_steps})
    return config.model_copy(update={"verbalizer": config.verbalizer.model_copy(update={"grpo": grpo})})
