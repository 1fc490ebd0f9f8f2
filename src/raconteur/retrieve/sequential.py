"""The sequential transformer: a causal language model whose only words are items.

Trained by `train.sequential`; its body and item embeddings start the Reasoner. Here: the network, scoring, saving and
loading. Axis letters: B users, L positions, W width, V items.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model

from raconteur.config.schema import SequentialConfig
from raconteur.errors import ArtifactError
from raconteur.types import FloatArray

PAD = 0  # items are numbered from 1 inside the network
SCORE_BATCH = 256


class ItemLM(nn.Module):
    """Next-item logits from a Qwen3 body; input and output embeddings are the same rows."""

    def __init__(self, num_items: int, config: SequentialConfig) -> None:
        super().__init__()
        self.body = Qwen3Model(body_config(num_items + 1, config.num_layers, config.width, config.num_heads))
        nn.init.normal_(self.body.embed_tokens.weight, std=config.width**-0.5)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, items_BL: Tensor) -> Tensor:
        """States [B, L, W]. Padding stands on the right, where a causal model cannot see it."""
        embedded_BLW = self.dropout(self.body.embed_tokens(items_BL))
        states_BLW = self.body(inputs_embeds=embedded_BLW, use_cache=False).last_hidden_state
        return self.dropout(states_BLW)

    @property
    def items_VW(self) -> Tensor:
        return self.body.embed_tokens.weight[1:]


def body_config(vocab_size: int, num_layers: int, width: int, num_heads: int, max_length: int = 1024) -> Qwen3Config:
    """The Qwen3 shape that every small model of the demo profile shares."""
    shape = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=width * 2,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        head_dim=width // num_heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        initializer_range=0.5 * width**-0.5,
    )
    shape._attn_implementation = "eager"  # rows are short, see `hardware.attend`
    return shape


class SequentialRetriever:
    """Scores the catalogue by the state after a user's newest items."""

    name = "sequential"

    def __init__(self, model: ItemLM, item_ids: Sequence[str], config: SequentialConfig) -> None:
        self.model = model.eval()
        self.item_ids = tuple(item_ids)
        self.config = config
        self._index = {item_id: number for number, item_id in enumerate(self.item_ids, start=1)}

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Logits [B, V], float32. An empty history scores by a lone padding token."""
        scores_BV: FloatArray = (self.states(histories) @ self.model.items_VW.detach().T).numpy()
        return scores_BV

    @torch.inference_mode()
    def states(self, histories: Sequence[Sequence[str]]) -> Tensor:
        """The state after each history [B, W], float32."""
        chunks = [histories[start : start + SCORE_BATCH] for start in range(0, len(histories), SCORE_BATCH)]
        return torch.cat([torch.empty(0, self.config.width), *map(self._states, chunks)])

    def _states(self, histories: Sequence[Sequence[str]]) -> Tensor:
        known = [[self._index[item] for item in history if item in self._index] for history in histories]
        items_BL, last_B = pad([row[-self.config.max_items :] for row in known])
        return self.model(items_BL)[torch.arange(len(known)), last_B].float()

    def save(self, folder: Path) -> None:
        save_file(self.model.state_dict(), folder / "model.safetensors")
        (folder / "items.json").write_text(json.dumps(self.item_ids))
        (folder / "config.json").write_text(json.dumps({"kind": self.name, "model": self.config.model_dump()}))

    @classmethod
    def load(cls, folder: Path) -> "SequentialRetriever":
        """
        Raises:
            ArtifactError: the folder holds no sequential model.
        """
        try:
            config = SequentialConfig.model_validate(json.loads((folder / "config.json").read_text())["model"])
            item_ids = json.loads((folder / "items.json").read_text())
            model = ItemLM(len(item_ids), config)
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no readable sequential model: {error}") from error
        return cls(model, item_ids, config)


def pad(rows: Sequence[Sequence[int]], value: int = PAD) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, L] and the index of each row's last real entry [B] (0 for an empty row)."""
    length = max(1, *(len(row) for row in rows)) if rows else 1
    padded_BL = torch.full((len(rows), length), value, dtype=torch.long)
    for number, row in enumerate(rows):
        padded_BL[number, : len(row)] = torch.tensor(row, dtype=torch.long)
    last_B = torch.tensor([max(0, len(row) - 1) for row in rows])
    return padded_BL, last_B
