"""The action Verbalizer: for each event of the log one decision, carried out by rule.

A causal language model reads the numbered log (`citations`). Its next-token logits at an event's number, restricted to
the four tokens of `ACTIONS`, are the policy for that event, so one forward pass decides a whole log. Kept events are
then written oldest first. Trained by `train.action`. Source: the action-based arm of "From Logs to Language"
(arXiv 2602.20558). Axis letters: P histories, E events, A actions, S events of all histories in a row, L positions,
W width, T tokens.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from raconteur.config.schema import TextConfig
from raconteur.errors import ArtifactError
from raconteur.hardware import autocast
from raconteur.represent.citations import CATEGORY, DROP, KEEP, MAX_CITED, RAW, citation, cited, numbered_log, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.folder import Writer, load_writer, save_writer
from raconteur.represent.template import newest_within
from raconteur.represent.tokenizer import encode
from raconteur.retrieve.sequential import pad
from raconteur.types import Event, History

ACTIONS = (DROP, KEEP, CATEGORY, RAW)  # leave out; name the item; with its category; with type and value as logged
PRIOR = (0.4, 0.4, 0.1, 0.1)  # the policy of a model that prefers no action
WRITE_BATCH = 64


class ActionVerbalizer:
    """Implements `types.Verbalizer` by the most probable action of each event.

    Raises:
        ArtifactError: the tokenizer was made without the actions' tokens.
    """

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
        self.num_tokens_read = 0  # by all calls, padding included
        self.actions_A = torch.tensor([_token(tokenizer, action) for action in ACTIONS])
        self._numbers_T = torch.zeros(model.config.vocab_size, dtype=torch.long)  # of each token; 0: no citation
        for number in range(1, MAX_CITED + 1):
            self._numbers_T[_token(tokenizer, citation(number))] = number
        self._prior_A = torch.tensor([math.log(share) for share in PRIOR])

    def shown(self, history: History) -> tuple[Event, ...]:
        """The events that the model is shown and decides about."""
        return history.events[-self.text.max_events :]

    def prompt(self, history: History) -> str:
        """What the model reads."""
        events = self.shown(history)
        return numbered_log(events, events[-1].event_time) if events else ""

    def policy(self, histories: Sequence[History]) -> tuple[Tensor, Tensor]:
        """Logits of the actions [P, E, A] and which events exist [P, E].

        An event's column is its row in `shown`, oldest first. No history may be empty.
        """
        prompts = [self.prompt(history) for history in histories]
        # On the right a causal model cannot see padding, so it needs no mask.
        ids_PL, _ = pad(encode(self.tokenizer.backend_tokenizer, prompts), self.tokenizer.pad_token_id)
        self.num_tokens_read += ids_PL.numel()
        states_PLW = self.model.model(ids_PL, use_cache=False).last_hidden_state
        numbers_PL = self._numbers_T[ids_PL]
        prompt_S, place_S = numbers_PL.nonzero(as_tuple=True)
        num_events_P = (numbers_PL > 0).sum(1)
        event_S = num_events_P[prompt_S] - numbers_PL[prompt_S, place_S]  # number 1 is the newest event
        table_AW = self.model.lm_head.weight[self.actions_A]
        logits_SA = (states_PLW[prompt_S, place_S] @ table_AW.T).float() + self._prior_A
        num_events = int(num_events_P.max())
        logits_PEA = logits_SA.new_zeros(len(prompts), num_events, len(ACTIONS))
        real_PE = torch.arange(num_events) < num_events_P[:, None]
        return logits_PEA.index_put((prompt_S, event_S), logits_SA), real_PE

    def execute(self, histories: Sequence[History], actions: Sequence[Sequence[int]]) -> list[str]:
        """Texts of the kept events, oldest first; the newest that fit `max_new_tokens` are written.

        Args:
            actions: places in `ACTIONS`, one an event of `shown`, aligned with it; further ones are ignored.
        """
        lines = [self._lines(self.shown(history), decided) for history, decided in zip(histories, actions, strict=True)]
        flat = [line for group in lines for line in group]
        counts = iter(len(ids) for ids in encode(self.tokenizer.backend_tokenizer, flat))
        return [newest_within(group, [next(counts) for _ in group], self.max_new_tokens) for group in lines]

    def write(self, histories: Sequence[History]) -> list[str]:
        # Logs of like length share a batch, so that little of it is padding.
        order = sorted(range(len(histories)), key=lambda number: len(histories[number].events))
        order = [number for number in order if histories[number].events]
        texts = [""] * len(histories)
        for start in range(0, len(order), WRITE_BATCH):
            batch = order[start : start + WRITE_BATCH]
            chosen = [histories[number] for number in batch]
            for number, text in zip(batch, self.execute(chosen, self._best(chosen)), strict=True):
                texts[number] = text
        return texts

    @torch.inference_mode()
    def _best(self, histories: Sequence[History]) -> list[list[int]]:
        with autocast():
            logits_PEA, _ = self.policy(histories)
        best: list[list[int]] = logits_PEA.argmax(2).tolist()
        return best

    def _lines(self, events: Sequence[Event], decided: Sequence[int]) -> list[str]:
        """One text a kept event; an action's token is also the marker that states what it adds."""
        num_events = len(events)
        kept = [(row, ACTIONS[decided[row]]) for row in range(num_events) if ACTIONS[decided[row]] != DROP]
        return [resolve(f"{cited(row, num_events)} {action}", events, self.facts) for row, action in kept]

    def save(self, folder: Path) -> None:
        writer = Writer(self.model, self.tokenizer, self.facts, self.text, self.max_new_tokens)
        save_writer(writer, folder, kind="action")

    @classmethod
    def load(cls, folder: Path) -> "ActionVerbalizer":
        """
        Raises:
            ArtifactError: the folder holds no Verbalizer.
        """
        saved = load_writer(folder)
        return cls(saved.model, saved.tokenizer, saved.facts, saved.text, max_new_tokens=saved.max_new_tokens)


def _token(tokenizer: PreTrainedTokenizerFast, name: str) -> int:
    number = tokenizer.backend_tokenizer.token_to_id(name)
    if number is None:
        raise ArtifactError(f"the tokenizer has no token {name}; train the Reasoner that it belongs to anew")
    return int(number)
