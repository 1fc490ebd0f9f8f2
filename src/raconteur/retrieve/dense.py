"""Text vectors: which items read like what the user took, even where no whole word is shared?

TF-IDF of words and of character n-grams inside words, reduced by a truncated SVD to 64 numbers an item. A user is the
mean of the taken items' vectors, the k-th newest weighing .8^k; the score is the cosine. Large catalogues are searched
by FAISS, exactly.
Axis letters: B histories, V items, D dimensions, N places of the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array, hstack

from raconteur.retrieve import files
from raconteur.retrieve.encode import IntArray, encode, faded_sum, index_items
from raconteur.retrieve.lexical import text_of, words_of
from raconteur.types import FloatArray, Item

DIMENSIONS = 64
DECAY = 0.8
SEARCHED_ITEMS = 50_000  # above this many items `top` asks FAISS and builds no row over the catalogue


@dataclass(eq=False, slots=True)
class Dense:
    """Scores an item by the cosine of its text's vector and the user's."""

    item_ids: tuple[str, ...]
    vectors: FloatArray  # [V, D], float32, of length 1; 0 for an item without text
    name: str = field(default="dense", init=False)
    _index: dict[str, int] = field(init=False, repr=False)

    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        self._index = index_items(self.item_ids)

    @classmethod
    def fit(cls, items: Sequence[Item], *, seed: int = 0) -> "Dense":
        """Learns the vectors from the catalogue's texts alone."""
        texts = [" ".join(words_of(text_of(item))) for item in items]
        return cls(tuple(item.item_id for item in items), _unit(_text_vectors(texts, seed)))

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Cosines [B, V], float32; an empty history scores 0 everywhere."""
        return self._users(histories) @ self.vectors.T

    def top(self, histories: Sequence[Sequence[str]], n: int) -> tuple[IntArray, FloatArray]:
        """Columns and cosines [B, N] of the best n items, best first; N is the catalogue where that is smaller."""
        n = min(n, len(self.item_ids))
        if len(self.item_ids) > SEARCHED_ITEMS:
            return _search(self._users(histories), self.vectors, n)
        scores_BV = self.score(histories)
        columns_BN = np.argsort(-scores_BV, axis=1, kind="stable")[:, :n]
        return columns_BN, np.take_along_axis(scores_BV, columns_BN, axis=1)

    def _users(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        rows = [row[::-1] for row in encode(histories, self._index)]
        return _unit(faded_sum(rows, self.vectors, decay=DECAY))

    def save(self, folder: Path) -> None:
        files.write(folder, self.kind, item_ids=self.item_ids, arrays={"vectors": self.vectors})

    @classmethod
    def load(cls, folder: Path) -> "Dense":
        saved = files.read(folder, cls.kind, arrays=["vectors"])
        return cls(saved.item_ids, saved.arrays["vectors"])


def _text_vectors(texts: Sequence[str], seed: int) -> FloatArray:
    """Vectors [V, D] before they are scaled; 0 where there are no words."""
    from sklearn.decomposition import TruncatedSVD  # loads where vectors are fitted; a server only reads them
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(texts):
        return np.zeros((len(texts), 1), dtype=np.float32)
    readers = [
        TfidfVectorizer(analyzer=str.split, sublinear_tf=True, dtype=np.float32),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, dtype=np.float32),
    ]
    counts_VF = csr_array(hstack([reader.fit_transform(texts) for reader in readers]))
    dimensions = max(1, min(DIMENSIONS, min(counts_VF.shape) - 1))
    return TruncatedSVD(dimensions, random_state=seed).fit_transform(counts_VF).astype(np.float32)


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows of length 1; a row of (nearly) nothing becomes 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0.0).astype(np.float32)


def _search(users_BD: FloatArray, vectors_VD: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
    import faiss  # loads only where a catalogue is large

    index = faiss.IndexFlatIP(vectors_VD.shape[1])
    index.add(np.ascontiguousarray(vectors_VD))
    scores_BN, columns_BN = index.search(np.ascontiguousarray(users_BD), n)
    return columns_BN, scores_BN
