"""BM25 over the words of items: which items read like the newest titles of a user, or like a typed query?

An item's text is its title, categories and description. A history asks with the words of its titles, the k-th newest
weighing .8^k; `score_queries` asks with free text. Okapi BM25 with Lucene's idf, log(1 + (N - df + .5) / (df + .5)),
written out here because a faded query is one sparse product with the matrix of word scores.
Axis letters: B queries, V items, W words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array

from raconteur.retrieve import files
from raconteur.retrieve.encode import encode, index_items, recency_query
from raconteur.types import FloatArray, Item

K1, B = 1.5, 0.75  # how fast a repeated word stops counting; how much a long text is discounted
DECAY = 0.8
# Scripts that put no space between words (Thai, kana, Han) are read character by character.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
MATRICES = ("words", "titles")


@dataclass(eq=False, slots=True)
class Lexical:
    """Scores an item by the words that it shares with a query."""

    item_ids: tuple[str, ...]
    vocabulary: tuple[str, ...]
    words: csr_array  # [W, V], what a word of the query adds to the score of an item
    titles: csr_array  # [V, W], how often a word stands in a title
    name: str = field(default="lexical", init=False)
    _index: dict[str, int] = field(init=False, repr=False)
    _numbers: dict[str, int] = field(init=False, repr=False)

    kind: ClassVar[str] = "lexical"

    def __post_init__(self) -> None:
        self._index = index_items(self.item_ids)
        self._numbers = {word: number for number, word in enumerate(self.vocabulary)}

    @classmethod
    def fit(cls, items: Sequence[Item]) -> "Lexical":
        """Counts words; an item without any scores 0 for every query."""
        item_ids = tuple(index_items([item.item_id for item in items]))
        texts = [words_of(text_of(item)) for item in items]
        numbers = {word: number for number, word in enumerate(sorted({word for text in texts for word in text}))}
        titles_VW = _count([words_of(item.title) for item in items], numbers)
        words_VW = _bm25(_count(texts, numbers))
        return cls(item_ids, tuple(numbers), csr_array(words_VW.T), titles_VW)

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [B, V], float32; an empty history scores 0 everywhere."""
        rows = [row[::-1] for row in encode(histories, self._index)]
        queries_BW = recency_query(rows, len(self.item_ids), decay=DECAY) @ self.titles
        return (queries_BW @ self.words).toarray()

    def score_queries(self, texts: Sequence[str]) -> FloatArray:
        """Scores [B, V] of free text, float32; words that no item has are ignored."""
        return (_count([words_of(text) for text in texts], self._numbers) @ self.words).toarray()

    def save(self, folder: Path) -> None:
        arrays = {
            f"{name}_{part}": getattr(getattr(self, name), part)
            for name in MATRICES
            for part in ("data", "indices", "indptr")
        }
        settings = {"vocabulary": self.vocabulary}
        files.write(folder, self.kind, item_ids=self.item_ids, arrays=arrays, settings=settings)

    @classmethod
    def load(cls, folder: Path) -> "Lexical":
        names = [f"{name}_{part}" for name in MATRICES for part in ("data", "indices", "indptr")]
        saved = files.read(folder, cls.kind, arrays=names)
        vocabulary = tuple(saved.settings["vocabulary"])
        num_words, num_items = len(vocabulary), len(saved.item_ids)
        found = [saved.arrays[name] for name in names]
        words = csr_array(tuple(found[:3]), shape=(num_words, num_items))
        return cls(saved.item_ids, vocabulary, words, csr_array(tuple(found[3:]), shape=(num_items, num_words)))


def text_of(item: Item) -> str:
    """All that the catalogue says about an item in words."""
    return " ".join([item.title, *item.categories, item.description or ""]).strip()


def words_of(text: str) -> list[str]:
    """Words in one form for all spellings of upper case, width and accents' encoding."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _count(texts: Iterable[Sequence[str]], numbers: Mapping[str, int]) -> csr_array:
    """Counts [texts, W], float32, of the known words."""
    counts = [Counter(numbers[word] for word in text if word in numbers) for text in texts]
    columns = np.array([number for count in counts for number in count], dtype=np.int64)
    values = np.array([times for count in counts for times in count.values()], dtype=np.float32)
    starts = np.cumsum([0, *(len(count) for count in counts)])
    return csr_array((values, columns, starts), shape=(len(counts), len(numbers)))


def _bm25(counts_VW: csr_array) -> csr_array:
    num_items = counts_VW.shape[0]
    lengths_V = counts_VW.sum(axis=1)
    num_items_W = np.bincount(counts_VW.indices, minlength=counts_VW.shape[1])
    idf_W = np.log1p((num_items - num_items_W + 0.5) / (num_items_W + 0.5))
    discount_V = K1 * (1.0 - B + B * lengths_V / max(float(lengths_V.mean()), 1e-9))
    discount_E = np.repeat(discount_V, np.diff(counts_VW.indptr))
    scored_E = idf_W[counts_VW.indices] * counts_VW.data * (K1 + 1.0) / (counts_VW.data + discount_E)
    return csr_array((scored_E.astype(np.float32), counts_VW.indices, counts_VW.indptr), shape=counts_VW.shape)
