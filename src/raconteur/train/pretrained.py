"""Trains pretrained language models of any size by LoRA: the Verbalizer by GRPO, then the Reasoner on its text.

The production profile's counterparts of `train.verbalizer` and `train.tune`, with the same rewards and artefacts.
Nothing here is special to a size or a number of devices: started by `accelerate launch`, every process runs the same
function (docs/production.md). Axis letters: B examples, L positions, N candidates.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Dataset as ExampleTable
from transformers import Trainer, TrainingArguments

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.errors import ConfigError
from raconteur.reason.llm import LetterPrompts, LetterReasoner, letter_scores
from raconteur.represent.llm import LlmVerbalizer
from raconteur.represent.pretrained import CausalLM, adapter_of, with_lora
from raconteur.train.choice import draw_targets, histories_of
from raconteur.train.examples import NegativeSampler, TrainingLog, catalogue, facts_of, training_log
from raconteur.train.grpo import first_and_last, newest_checkpoint, train_grpo
from raconteur.train.identity import training_key
from raconteur.train.loop import check_finite
from raconteur.train.losses import grpo_loss, listwise_loss
from raconteur.train.rewards import draw_rollouts
from raconteur.train.tune import TEXTS

CURVES = "curves.json"
SECTIONS = ("data", "world", "evaluate", "text", "verbalizer", "llm", "seed")  # of the config: what decides
SAVE_STEPS = 10


def start_llm_reasoner(config: Config, data: Path, out: Path) -> dict[str, float]:
    """Writes the folder of the frozen Reasoner, which is the pretrained model itself; returns the catalogue's size."""
    items = catalogue(load_dataset(data))
    base = config.llm.reasoner_base or _base(config)
    titles = {item_id: item.title for item_id, item in items.items()}
    reasoner = LetterReasoner.start(base, titles, history_tokens=config.text.history_tokens)
    _publish(out, "reasoner", config, reasoner.save)
    return {"num_items": float(len(items))}


def train_llm_verbalizer(
    config: Config, data: Path, reasoner: Path, out: Path, checkpoints: Path, start: Path | None = None
) -> dict[str, float]:
    """Writes the Verbalizer's folder; returns the first and last rewards of GRPO.

    Args:
        reasoner: folder of the Reasoner that judges, frozen.
        start: folder of a Verbalizer to go on from; None: the base itself, asked without training.

    Raises:
        ArtifactError: a model cannot be read.
        ConfigError: `llm.base` is not set, or a step does not divide into the devices' micro-batches.
    """
    dataset = load_dataset(data)
    items, log = catalogue(dataset), training_log(dataset)
    _base(config)
    adapter = adapter_of(start) if start else None
    writer: Any = LlmVerbalizer.zero_shot(config, items, facts_of(items, config), adapter)
    if adapter is None:
        writer.model = with_lora(writer.model, config.llm, seed=config.seed)
    rollouts = draw_rollouts(log, tuple(items), config)
    reads = [data, reasoner, *([start] if start else [])]
    folder = checkpoints / f"llm-grpo-{training_key(config, SECTIONS, reads=reads)}"
    judge: Any = LetterReasoner.load(reasoner)
    rewards = train_grpo(writer, judge, rollouts, config, folder, options=grpo_options(config))
    _publish(out, "verbalizer", config, writer.save, {CURVES: json.dumps(rewards)})
    return first_and_last(rewards)


def tune_llm_reasoner(
    config: Config, data: Path, reasoner: Path, verbalizer: Path, out: Path, checkpoints: Path
) -> dict[str, float]:
    """Writes the Reasoner tuned on the Verbalizer's text, by a listwise softmax over its letters' logits or by GRPO.

    Returns the last loss and the share of the last training lists on which the truth came first.

    Raises:
        ArtifactError: a model cannot be read.
        ConfigError: `reasoner.loss` is pointwise, or a step does not divide into the devices' micro-batches.
    """
    settings = config.reasoner
    if settings.loss == "pointwise":
        raise ConfigError(
            "reasoner.loss = 'pointwise': one answer letter is learned as a choice; take listwise or grpo"
        )
    dataset = load_dataset(data)
    log = training_log(dataset)
    key = training_key(config, (*SECTIONS, "reasoner"), reads=[data, reasoner, verbalizer])
    table = _written(config, log, verbalizer, checkpoints / f"llm-texts-{key}.parquet")
    tuned = LetterReasoner.load(reasoner)
    if adapter_of(reasoner) is None:
        tuned.model = with_lora(tuned.model, config.llm, seed=config.seed)
    lists = ChoiceLists(config, dataset, log, table)
    trainer = LetterTrainer(
        letters=tuned.prompts.letter_ids,
        loss=settings.loss,
        model=tuned.model,
        args=TrainingArguments(
            output_dir=str(checkpoints / f"llm-tune-{key}"),
            max_steps=settings.tune_steps,
            learning_rate=settings.tune_rate,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, settings.tune_steps // 20),
            logging_steps=max(1, min(10, settings.tune_steps)),
            save_steps=SAVE_STEPS,
            save_total_limit=1,
            seed=config.seed,
            report_to=[],
            remove_unused_columns=False,
            activation_checkpointing=True,
            activation_checkpointing_kwargs={"use_reentrant": False},
            **_placement(config, settings.batch_size),
        ),
        train_dataset=lists,
        data_collator=_Collator(tuned.prompts),
    )
    trainer.train(resume_from_checkpoint=newest_checkpoint(Path(str(trainer.args.output_dir))))
    check_finite(tuned.model, "tune")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    texts = {CURVES: json.dumps({"loss": losses})}
    _publish(out, "reasoner", config, tuned.save, texts, {TEXTS: table})
    return {"loss": losses[-1], "accuracy": float(np.mean(trainer.chosen[-settings.batch_size :] or [np.nan]))}


def grpo_options(config: Config) -> dict[str, Any]:
    """What TRL's trainer is told beyond the demo profile: where the model runs, who samples, how much at a time.

    Raises:
        ConfigError: the prompts of a step cannot be dealt out evenly, or vLLM is asked for and not installed.
    """
    llm, grpo = config.llm, config.verbalizer.grpo
    num_processes = _processes().num_processes
    if grpo.prompts_per_step % num_processes:
        # A group is compared within itself, so it must not be torn apart.
        raise ConfigError(
            f"verbalizer.grpo.prompts_per_step = {grpo.prompts_per_step} cannot be dealt out to {num_processes} "
            "processes; make it a multiple"
        )
    sampling: dict[str, Any] = {"use_vllm": llm.vllm != "off"}
    if llm.vllm == "colocate":
        length = llm.max_prompt_tokens + config.verbalizer.max_new_tokens
        sampling |= {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": llm.vllm_memory}
        sampling |= {"vllm_max_model_length": length}
    if llm.vllm == "server":
        sampling |= {"vllm_mode": "server", "vllm_server_base_url": llm.vllm_url}
    placement = _placement(config, grpo.prompts_per_step * grpo.group_size)
    return {"gradient_checkpointing": True, **placement, **sampling}  # large models: memory is dearer than time


def _placement(config: Config, per_step: int) -> dict[str, Any]:
    """Micro-batches that add up to one step over all processes, and the number format of the device."""
    num_processes = _processes().num_processes
    at_a_time = min(config.llm.micro_batch, max(1, per_step // num_processes))
    parts, rest = divmod(per_step, at_a_time * num_processes)
    if rest:
        raise ConfigError(
            f"a step of {per_step} samples does not divide into llm.micro_batch = {at_a_time} on each of "
            f"{num_processes} processes; choose llm.micro_batch so that it does"
        )
    on_gpu = torch.cuda.is_available()
    return {
        "per_device_train_batch_size": at_a_time,
        "gradient_accumulation_steps": parts,
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
    }


class ChoiceLists(ExampleTable[dict[str, Any]]):
    """Example i is a text with a shuffled list of candidates, drawn from (seed, i) alone: a resume draws alike."""

    def __init__(self, config: Config, dataset: Dataset, log: TrainingLog, table: pl.DataFrame) -> None:
        self._item_ids = tuple(dataset.items[c.ITEM_ID].to_list())
        self._sampler = NegativeSampler(log, self._item_ids)
        self._users = np.array([self._sampler.users[user] for user in table[c.USER_ID]])
        self._texts, self._truths = table["text"].to_list(), table[c.ITEM_ID].to_list()
        self._seed, self._num_candidates = config.seed, config.evaluate.num_candidates
        self._length = config.reasoner.tune_steps * config.reasoner.batch_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng([self._seed, 6, index])
        row = int(rng.integers(len(self._texts)))
        num = self._num_candidates * int(rng.integers(1, 3))  # also the longer lists that are served
        negatives = self._sampler.draw(self._users[[row]], num - 1, rng)[0]
        candidates = [self._truths[row], *(self._item_ids[item] for item in negatives)]
        order = rng.permutation(num)
        return {
            "text": self._texts[row],
            "candidates": [candidates[place] for place in order],
            "truth": int(order.argmin()),
            "index": index,
        }


class LetterTrainer(Trainer):
    """Minimises a loss of the letters' logits (`losses`): listwise, or GRPO over sampled choices."""

    def __init__(self, *, letters: Sequence[int], loss: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._letters_N = torch.tensor(letters)
        self._loss = loss
        self.chosen: list[float] = []  # whether the truth came first, an entry a list

    def compute_loss(
        self,
        model: CausalLM,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        scores_BN = list_scores(model, inputs, self._letters_N)
        truth_B = inputs["truth_B"]
        self.chosen += (scores_BN.argmax(1) == truth_B).float().tolist()
        if self._loss == "listwise":
            loss = listwise_loss(scores_BN, truth_B)
        else:
            # Sampled by the example's number, so that a resume samples alike; generators live on the CPU.
            generator = torch.Generator().manual_seed(int(inputs["index_B"][0]))
            loss = grpo_loss(scores_BN.cpu(), truth_B.cpu(), generator).to(scores_BN.device)
        return (loss, {"scores": scores_BN}) if return_outputs else loss


def list_scores(model: CausalLM, batch: dict[str, Tensor], letters_N: Tensor) -> Tensor:
    """Scores [B, N]; minus infinity behind the end of a list that is shorter than the longest."""
    num = int(batch["num_B"].max())
    scores_BN = letter_scores(model, batch["ids_BL"], batch["mask_BL"], letters_N[:num])
    places_N = torch.arange(num, device=scores_BN.device)
    return scores_BN.masked_fill(places_N >= batch["num_B"][:, None], -torch.inf)


class _Collator:
    def __init__(self, prompts: LetterPrompts) -> None:
        self._prompts = prompts

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        batch = self._prompts.batch([row["text"] for row in rows], [row["candidates"] for row in rows])
        return {
            "ids_BL": batch.ids_BL,
            "mask_BL": batch.mask_BL,
            "num_B": torch.tensor([len(row["candidates"]) for row in rows]),
            "truth_B": torch.tensor([row["truth"] for row in rows]),
            "index_B": torch.tensor([row["index"] for row in rows]),
        }


def _written(config: Config, log: TrainingLog, verbalizer: Path, kept: Path) -> pl.DataFrame:
    """Training targets with the Verbalizer's text of what came before each; every process writes its share, once."""
    if kept.exists():
        return pl.read_parquet(kept)
    targets = draw_targets(log, config.reasoner.tune_examples, np.random.default_rng([config.seed, 5]))
    histories = histories_of(log, targets, config.text.max_events)
    state = _processes()
    mine = range(state.process_index, len(histories), state.num_processes)
    texts = LlmVerbalizer.load(verbalizer).write([histories[row] for row in mine])
    gathered = dict(gather_object(list(zip(mine, texts, strict=True))))
    table = targets.with_columns(pl.Series("text", [gathered[row] for row in range(len(histories))], dtype=pl.String))
    if state.is_main_process:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        table.write_parquet(temporary)
        temporary.replace(kept)
    return table


def _publish(
    out: Path,
    kind: str,
    config: Config,
    save: Callable[[Path], None],
    texts: dict[str, str] | None = None,
    tables: dict[str, pl.DataFrame] | None = None,
) -> None:
    """Writes an artefact. Every process saves, since sharded weights come from all; the first one's folder is kept."""
    state = _processes()
    if not state.is_main_process:
        with TemporaryDirectory() as scratch:
            save(Path(scratch))
    else:
        with new_folder(out, kind=kind, config=config.model_dump(mode="json")) as folder:
            save(folder)
            for name, text in (texts or {}).items():
                (folder / name).write_text(text)
            for name, table in (tables or {}).items():
                table.write_parquet(folder / name)
    state.wait_for_everyone()


def _processes() -> PartialState:
    """The processes that a launcher started, seen from one of them; alone where there was no launcher."""
    return PartialState(cpu=not torch.cuda.is_available())


def _base(config: Config) -> str:
    if config.llm.base is None:
        raise ConfigError("llm.base is not set: name the folder or id of a Hugging Face causal language model")
    return config.llm.base
