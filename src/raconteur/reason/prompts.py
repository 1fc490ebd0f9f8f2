"""Encodes texts and candidates into the token ids that a `ChoiceModel` reads; no torch, so small servers stay small.

A row is `text <choose> candidate 1 … candidate N <answer>`, padded on the right. What a text and a candidate are made
of is the Reasoner's `inputs`:

    both     the narrative as written; a candidate is its item token
    tokens   only the narrative's item tokens, in order; a candidate is its item token
    text     no item token anywhere: titles stand for mentions; a candidate is its title, then `<end>`

With the head `letters`, a candidate's letter stands before it. Whatever the arm, the candidate's own state is at its
last token. Axis letters: B texts, L positions, N candidates.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from raconteur.errors import ArtifactError, DataError
from raconteur.reason.kept import KeptEncodings
from raconteur.represent.mentions import expand, mention, mentioned, plain
from raconteur.represent.tokenizer import ANSWER, CHOOSE, CONTROL, END, PAD, encode, load_tokenizer

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Inputs = Literal["both", "text", "tokens"]
Head = Literal["pointer", "letters"]

LETTERS = tuple(f"<choice{number}>" for number in range(1, 51))
MAX_TITLE = 64  # characters of a title that are read, in narratives and candidates alike


@dataclass(frozen=True)
class Layout:
    """Encoded rows and where in them the model looks; `<answer>` follows the last candidate."""

    ids_BL: IntArray
    choose_B: IntArray  # position of `<choose>`
    places_BN: IntArray  # position of each candidate's last token


class Prompts:
    """Lays out what a Reasoner reads."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        history_tokens: int,
        inputs: Inputs = "both",
        head: Head = "pointer",
        titles: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            history_tokens: budget of the narrative, titles included.
            titles: by item id; read and kept only where `inputs` is `text`, which knows no other items.

        Raises:
            ArtifactError: the tokenizer lacks a control token or, for that head, the letters.
        """
        self.tokenizer, self.history_tokens = tokenizer, history_tokens
        self.inputs, self.head = inputs, head
        self.titles = (
            {key: plain(title)[:MAX_TITLE] for key, title in (titles or {}).items()} if inputs == "text" else {}
        )
        self.pad_id, self._end, self._choose, self._answer = (
            _control_id(tokenizer, name) for name in (PAD, END, CHOOSE, ANSWER)
        )
        self._letters = [_control_id(tokenizer, name) for name in LETTERS] if head == "letters" else []
        self._unread = _unread(tokenizer, inputs, self._letters)
        self._kept: KeptEncodings | None = None
        self._tokens: dict[str, int] = {}  # by item id: writing a mention costs more than looking it up

    @classmethod
    def load(cls, folder: Path) -> "Prompts":
        """From the folder of a Reasoner or student; folders without `inputs` and `head` hold the default arm.

        Raises:
            ArtifactError: the folder holds no tokenizer or no readable `config.json`.
        """
        tokenizer = load_tokenizer(folder)
        try:
            saved = json.loads((folder / "config.json").read_text())
            return cls(
                tokenizer,
                history_tokens=saved["history_tokens"],
                inputs=saved.get("inputs", "both"),
                head=saved.get("head", "pointer"),
                titles=saved.get("titles"),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{folder / 'config.json'} cannot be read: {error}") from error

    def settings(self) -> dict[str, object]:
        """What `load` needs beside the tokenizer, as JSON takes it."""
        titles = {"titles": self.titles} if self.inputs == "text" else {}
        return {"history_tokens": self.history_tokens, "inputs": self.inputs, "head": self.head, **titles}

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids; the newest end of a text that is too long is kept.

        Control tokens are dropped, so that no text can open the choice, answer it or name a letter.
        """
        return self._encode_newest(texts) if self._kept is None else self._kept.get(texts, self._encode_newest)

    def keep_texts(self, max_texts: int, count: Callable[[str], None]) -> None:
        """Has texts that come again not encoded again.

        Args:
            max_texts: that are kept; 0: none.
            count: see `kept.KeptEncodings`.
        """
        if max_texts:
            self._kept = KeptEncodings(max_texts=max_texts, count=count)

    def encode_items(self, item_ids: Sequence[str]) -> list[list[int]]:
        """Token ids of each item as a candidate; none for an item that the Reasoner does not know."""
        if self.inputs == "text":
            titles = self._encode([mention(item_id) for item_id in item_ids])
            return [
                [*title, self._end] if item_id in self.titles else []
                for item_id, title in zip(item_ids, titles, strict=True)
            ]
        tokens = [self.item_token(item_id) for item_id in item_ids]
        return [[] if token is None else [token] for token in tokens]

    def item_token(self, item_id: str) -> int | None:
        token = self._tokens.get(item_id)
        if token is None:
            token = self.tokenizer.token_to_id(mention(item_id))
            if token is not None:  # only what is known is kept, so that requests cannot fill the memory
                self._tokens[item_id] = token
        return token

    def lay_out(self, texts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]]) -> Layout:
        """
        Args:
            texts: token ids of each text.
            candidates: token ids of each candidate of each text, at least one, as many for every text.

        Raises:
            DataError: more candidates than there are letters.
        """
        rows, places = [], []
        for text, items in zip(texts, candidates, strict=True):
            row, ends = [*text, self._choose], []
            for lead, item in zip(self._leads(len(items)), items, strict=True):
                row += lead
                row += item
                ends.append(len(row) - 1)
            rows.append([*row, self._answer])
            places.append(ends)
        ids_BL = np.full((len(rows), max(map(len, rows), default=1)), self.pad_id, dtype=np.int64)
        for number, row in enumerate(rows):
            ids_BL[number, : len(row)] = row
        choose_B = np.array([len(text) for text in texts], dtype=np.int64)
        return Layout(ids_BL, choose_B, np.array(places, dtype=np.int64))

    def choices(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> tuple[Layout, BoolArray]:
        """The rows, and which candidates the model does not know [B, N]."""
        distinct = list(dict.fromkeys(item_id for row in candidates for item_id in row))
        encoded = dict(zip(distinct, self.encode_items(distinct), strict=True))
        unknown_BN = np.array([[not encoded[item_id] for item_id in row] for row in candidates])
        known = [[encoded[item_id] or [self.pad_id] for item_id in row] for row in candidates]
        return self.lay_out(self.encode_texts(texts), known), unknown_BN

    def _encode_newest(self, texts: Sequence[str]) -> list[list[int]]:
        return [ids[-self.history_tokens :] for ids in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if self.inputs == "text":
            texts = [expand(text, self.titles) for text in texts]
        return [
            ids if self._unread.isdisjoint(ids) else [number for number in ids if number not in self._unread]
            for ids in encode(self.tokenizer, texts)
        ]

    def _leads(self, num_candidates: int) -> list[list[int]]:
        """What stands before each candidate."""
        if self.head == "pointer":
            return [[]] * num_candidates
        if num_candidates > len(LETTERS):
            raise DataError(
                f"{num_candidates} candidates, but there are letters for {len(LETTERS)}: "
                "offer fewer or train with reasoner.head = 'pointer'"
            )
        return [[letter] for letter in self._letters[:num_candidates]]


def same_vocabulary(reasoner: Tokenizer, verbalizer: Tokenizer) -> None:
    """Checks that both number their words alike; a Verbalizer starts from the Reasoner's embeddings.

    Raises:
        ArtifactError: they do not.
    """
    read, written = reasoner.get_vocab(), verbalizer.get_vocab()
    if read != written:
        raise ArtifactError(
            f"the Reasoner ({len(read)} tokens) and the Verbalizer ({len(written)} tokens) have different tokenizers: "
            "train the Verbalizer anew from this Reasoner"
        )


def _unread(tokenizer: Tokenizer, inputs: Inputs, letters: Sequence[int]) -> frozenset[int]:
    """Ids that no narrative may hold."""
    control = {*letters, *(_control_id(tokenizer, name) for name in CONTROL)}
    if inputs == "both":
        return frozenset(control)
    # Added tokens only: a piece that was learned from letters and brackets is no item.
    added = tokenizer.get_added_tokens_decoder()
    items = {number for number, token in added.items() if mentioned(token.content)}
    return frozenset(control | items if inputs == "text" else set(range(tokenizer.get_vocab_size())) - items)


def _control_id(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.token_to_id(name)
    if number is None:
        raise ArtifactError(f"the tokenizer has no token {name}; it was not made for this Reasoner")
    return number
