"""The rewriting Verbalizer: a causal language model that reads the raw log and writes the user's narrative.

Its prompt is the newest events, numbered (`citations`), then `<write>`; it cites events where it means items.
Trained by `train.verbalizer`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from raconteur.config.schema import TextConfig
from raconteur.hardware import autocast
from raconteur.represent.citations import numbered_log, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.folder import Writer, load_writer, save_writer
from raconteur.represent.tokenizer import WRITE
from raconteur.types import Event, History

GENERATE_BATCH = 128


class RewriteVerbalizer:
    """Implements `types.Verbalizer` by greedy generation."""

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        facts: Facts,
        text: TextConfig,
        *,
        max_new_tokens: int,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.facts = facts
        self.text = text
        self.max_new_tokens = max_new_tokens
        self.num_tokens_read = 0  # by all calls, padding and what it wrote included

    def shown(self, history: History) -> tuple[Event, ...]:
        """The events that the model is shown, and may cite."""
        return history.events[-self.text.max_events :]

    def prompt(self, history: History) -> str:
        """What the model reads; also the prompts of its training."""
        return prompt_of(self.shown(history))

    def write(self, histories: Sequence[History]) -> list[str]:
        prompts = [self.prompt(history) for history in histories]
        # Prompts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        texts = [""] * len(prompts)
        for start in range(0, len(order), GENERATE_BATCH):
            batch = [number for number in order[start : start + GENERATE_BATCH] if histories[number].events]
            for number, text in zip(batch, self._generate([prompts[number] for number in batch]), strict=True):
                texts[number] = resolve(text, self.shown(histories[number]), self.facts)
        return texts

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[str]) -> list[str]:
        if not prompts:
            return []
        inputs = self.tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)
        with autocast():
            ids = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )
        self.num_tokens_read += ids.numel()
        written = ids[:, inputs["input_ids"].shape[1] :]
        return self.tokenizer.batch_decode(written, skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        writer = Writer(self.model, self.tokenizer, self.facts, self.text, self.max_new_tokens)
        save_writer(writer, folder, kind="rewrite")

    @classmethod
    def load(cls, folder: Path) -> "RewriteVerbalizer":
        """
        Raises:
            ArtifactError: the folder holds no Verbalizer.
        """
        saved = load_writer(folder)
        return cls(saved.model, saved.tokenizer, saved.facts, saved.text, max_new_tokens=saved.max_new_tokens)


def prompt_of(events: Sequence[Event]) -> str:
    """The newest events, numbered, and the cue to write."""
    return f"{numbered_log(events, events[-1].event_time)} {WRITE}" if events else WRITE
