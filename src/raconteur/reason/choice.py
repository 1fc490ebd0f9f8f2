"""The Reasoner of the demo profile: constrained choice in one forward pass.

It reads `text <choose> candidate 1 … candidate N <answer>` (`prompts`). The pointer head scores each candidate twice:
the state before the candidates against the candidate's embedding (what the sequential model it is started from does)
plus the candidate's prior, and the answer's state against the candidate's own state (a choice that has read all of
them). The last term starts at zero; the others are left out where candidates are titles. The letters head
reads the answer as from any language model: the logit of each candidate's letter as the next token. Axis letters:
B texts, L positions, N candidates, W width.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Qwen3Model

from raconteur.errors import ArtifactError
from raconteur.reason.prompts import Head, Inputs, Prompts
from raconteur.represent.tokenizer import FILE
from raconteur.retrieve.sequential import body_config
from raconteur.types import FloatArray

SCORE_BATCH = 128


class ChoiceModel(nn.Module):
    """Scores of candidates that stand in the prompt."""

    def __init__(
        self,
        vocab_size: int,
        *,
        num_layers: int,
        width: int,
        num_heads: int,
        dropout: float,
        inputs: Inputs = "both",
        head: Head = "pointer",
    ) -> None:
        super().__init__()
        self.inputs, self.head = inputs, head
        self.body = Qwen3Model(body_config(vocab_size, num_layers, width, num_heads))
        nn.init.normal_(self.body.embed_tokens.weight, std=width**-0.5)
        if head == "pointer":
            self.query = nn.Linear(width, width, bias=False)
            self.key = nn.Linear(width, width, bias=False)
            nn.init.zeros_(self.query.weight)
            # By token. Next-token logits hold how popular an item is; a choice among negatives drawn by popularity
            # must not. It starts at minus the log of that, which makes one state right for both.
            self.prior = nn.Embedding(vocab_size, 1, _weight=torch.zeros(vocab_size, 1))
        self.dropout = nn.Dropout(dropout)

    @property
    def suits_items(self) -> bool:
        """Whether the state before the candidates scores items by their tokens."""
        return self.head == "pointer" and self.inputs != "text"

    def states(self, ids_BL: Tensor) -> Tensor:
        """States [B, L, W]; padding stands on the right, where a causal model cannot see it."""
        embedded_BLW = self.dropout(self.body.embed_tokens(ids_BL))
        return self.body(inputs_embeds=embedded_BLW, use_cache=False).last_hidden_state

    def forward(self, ids_BL: Tensor, choose_B: Tensor, places_BN: Tensor) -> Tensor:
        """Scores [B, N].

        Args:
            choose_B: position of `<choose>`.
            places_BN: position of each candidate's last token, in order; `<answer>` follows the last.
        """
        return self.choose(ids_BL, self.states(ids_BL), choose_B, places_BN)

    def choose(self, ids_BL: Tensor, states_BLW: Tensor, choose_B: Tensor, places_BN: Tensor) -> Tensor:
        answer_BW = _at(states_BLW, places_BN[:, -1:] + 1).squeeze(1)
        if self.head == "letters":
            return self.letter_logits(ids_BL.gather(1, letter_places(choose_B, places_BN)), answer_BW)
        user_BW = _at(states_BLW, choose_B[:, None]).squeeze(1)
        return self.point(ids_BL.gather(1, places_BN), user_BW, _at(states_BLW, places_BN), answer_BW)

    def point(self, items_BN: Tensor, user_BW: Tensor, seen_BNW: Tensor, answer_BW: Tensor) -> Tensor:
        """The pointer head.

        Args:
            items_BN: each candidate's last token.
            user_BW, seen_BNW, answer_BW: states at `<choose>`, at those tokens, and at `<answer>`.
        """
        choice_BN = (self.key(seen_BNW) @ self.query(answer_BW)[:, :, None]).squeeze(-1)
        choice_BN = choice_BN * user_BW.shape[-1] ** -0.5
        if self.inputs == "text":
            return choice_BN
        known_BN = (self.body.embed_tokens(items_BN) @ user_BW[:, :, None]).squeeze(-1)
        return known_BN + self.prior(items_BN).squeeze(-1) + choice_BN

    def letter_logits(self, letters_BN: Tensor, answer_BW: Tensor) -> Tensor:
        """The letters head: the logit of each candidate's letter, as the token after `<answer>`."""
        return (self.body.embed_tokens(letters_BN) @ answer_BW[:, :, None]).squeeze(-1)

    def suits(self, states_BLW: Tensor, choose_B: Tensor, items_K: Tensor) -> Tensor:
        """How well each of these item tokens suits each text [B, K], candidates unread; where `suits_items`."""
        user_BW = _at(states_BLW, choose_B[:, None]).squeeze(1)
        return user_BW @ self.body.embed_tokens(items_K).T + self.prior(items_K).squeeze(-1)

    def next_token_logits(self, states_BLW: Tensor) -> Tensor:
        return states_BLW @ self.body.embed_tokens.weight.T


class ChoiceReasoner:
    """Implements `types.Reasoner`."""

    def __init__(self, model: ChoiceModel, prompts: Prompts) -> None:
        assert (model.inputs, model.head) == (prompts.inputs, prompts.head), "model and prompts are of different arms"
        self.model = model.eval()
        self.prompts = prompts
        self.num_tokens_read = 0  # by all calls, padding included

    @torch.inference_mode()
    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        parts = [slice(start, start + SCORE_BATCH) for start in range(0, len(texts), SCORE_BATCH)]
        rows = [self._score_batch(texts[part], candidates[part]) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    def _score_batch(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        layout, unknown_BN = self.prompts.choices(texts, candidates)
        self.num_tokens_read += layout.ids_BL.size
        fields = (layout.ids_BL, layout.choose_B, layout.places_BN)
        scores_BN = self.model(*map(torch.from_numpy, fields)).float().numpy()
        scores_BN[unknown_BN] = np.nan
        return scores_BN

    @torch.inference_mode()
    def states(self, texts: Sequence[str]) -> Tensor:
        """The state before the candidates [B, W], which says how well any item suits the text (`ChoiceModel.suits`)."""
        encoded = self.prompts.encode_texts(texts)
        parts = [encoded[start : start + SCORE_BATCH] for start in range(0, len(encoded), SCORE_BATCH)]
        width = self.model.body.config.hidden_size
        return torch.cat([torch.empty(0, width), *map(self._states, parts)])

    def _states(self, texts: Sequence[Sequence[int]]) -> Tensor:
        layout = self.prompts.lay_out(texts, [[[self.prompts.pad_id]]] * len(texts))
        states_BLW = self.model.states(torch.from_numpy(layout.ids_BL))
        return states_BLW[torch.arange(len(texts)), torch.from_numpy(layout.choose_B)].float()

    def save(self, folder: Path) -> None:
        save_file(self.model.state_dict(), folder / "model.safetensors")
        self.prompts.tokenizer.save(str(folder / FILE))
        body = self.model.body.config
        shape = {
            "kind": "choice",
            "vocab_size": body.vocab_size,
            "num_layers": body.num_hidden_layers,
            "width": body.hidden_size,
            "num_heads": body.num_attention_heads,
            "dropout": self.model.dropout.p,
            **self.prompts.settings(),
        }
        (folder / "config.json").write_text(json.dumps(shape))

    @classmethod
    def load(cls, folder: Path) -> "ChoiceReasoner":
        """
        Raises:
            ArtifactError: the folder holds no Reasoner.
        """
        prompts = Prompts.load(folder)
        try:
            saved = json.loads((folder / "config.json").read_text())
            shape = {name: saved[name] for name in ("vocab_size", "num_layers", "width", "num_heads", "dropout")}
            model = ChoiceModel(**shape, inputs=prompts.inputs, head=prompts.head)
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no readable Reasoner: {error}") from error
        return cls(model, prompts)


def places(choose_B: Tensor, num_candidates: int) -> Tensor:
    """Positions of candidates of one token each [B, N], which follow `<choose>`."""
    return choose_B[:, None] + torch.arange(1, num_candidates + 1)


def letter_places(choose_B: Tensor, places_BN: Tensor) -> Tensor:
    """Where each candidate's letter stands [B, N]: behind `<choose>`, or behind the last token of the one before."""
    return torch.cat([choose_B[:, None], places_BN[:, :-1]], dim=1) + 1


def _at(states_BLW: Tensor, positions_BP: Tensor) -> Tensor:
    """States at given positions [B, P, W]."""
    return states_BLW.gather(1, positions_BP[:, :, None].expand(-1, -1, states_BLW.shape[-1]))
