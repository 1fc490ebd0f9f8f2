"""Encodes texts and candidates into the token ids that a `ChoiceModel` reads; no torch, so small servers stay small."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from raconteur.errors import ArtifactError
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import ANSWER, CHOOSE, PAD, encode

IntArray = npt.NDArray[np.int64]


class Prompts:
    """`text <choose> candidate 1 … candidate N <answer>`, padded on the right."""

    def __init__(self, tokenizer: Tokenizer, *, history_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.history_tokens = history_tokens
        self.pad_id, self._choose, self._answer = (_control_id(tokenizer, name) for name in (PAD, CHOOSE, ANSWER))

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids; the newest end of a text that is too long is kept."""
        return [ids[-self.history_tokens :] for ids in encode(self.tokenizer, texts)]

    def item_token(self, item_id: str) -> int | None:
        return self.tokenizer.token_to_id(mention(item_id))

    def assemble(
        self, texts: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]]
    ) -> tuple[IntArray, IntArray]:
        """Ids [B, L] and the positions of `<choose>` [B]."""
        rows = [[*text, self._choose, *items, self._answer] for text, items in zip(texts, candidates, strict=True)]
        ids_BL = np.full((len(rows), max(map(len, rows), default=1)), self.pad_id, dtype=np.int64)
        for number, row in enumerate(rows):
            ids_BL[number, : len(row)] = row
        return ids_BL, np.array([len(text) for text in texts], dtype=np.int64)

    def prompt(
        self, texts: Sequence[str], candidates: Sequence[Sequence[str]]
    ) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Ids [B, L], choose positions [B], and which candidates the model does not know [B, N]."""
        tokens = [[self.item_token(item) for item in row] for row in candidates]
        unknown_BN = np.array([[token is None for token in row] for row in tokens])
        known = [[self.pad_id if token is None else token for token in row] for row in tokens]
        ids_BL, choose_B = self.assemble(self.encode_texts(texts), known)
        return ids_BL, choose_B, unknown_BN


def _control_id(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.token_to_id(name)
    if number is None:
        raise ArtifactError(f"the tokenizer has no token {name}; it was not made by represent.tokenizer")
    return number
