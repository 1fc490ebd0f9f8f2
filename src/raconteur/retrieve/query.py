"""A typed query against the catalogue, and how it changes the order that retrieval proposes.

Words are matched by the BM25 of `lexical`, over title, categories and description. The rule of mixing: items that
match come first, ordered by the sum of two standard scores taken over the matching items, one of retrieval and one of
the query; all others follow in the order of retrieval. If nothing matches, the order is retrieval's, and `matched` says
so. Axis letters: V items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from raconteur.columns import CATEGORIES, DESCRIPTION, ITEM_ID, TITLE
from raconteur.errors import DataError
from raconteur.retrieve.lexical import Lexical, words_of
from raconteur.types import FloatArray, Item

MAX_CHARS = 500  # of a query that are read
MAX_WORDS = 32  # distinct ones that are looked up: with MAX_CHARS this bounds the work for any query


@dataclass(frozen=True, slots=True)
class QueryIndex:
    """Made once a version. A `Lexical` that was fitted on the same catalogue can be shared: `QueryIndex(lexical)`."""

    words: Lexical

    @classmethod
    def of(cls, items: pl.DataFrame, order: Sequence[str] | None = None) -> "QueryIndex":
        """
        Args:
            items: the catalogue's table (`data.dataset.ITEMS`).
            order: item ids in the order of the scores, such as a retriever's; None: the table's own. An id that the
                table does not hold matches nothing.

        Raises:
            DataError: there are no items, a column is missing, or an id stands twice among those asked for.
        """
        needed = [ITEM_ID, TITLE, CATEGORIES, DESCRIPTION]
        if missing := [name for name in needed if name not in items.columns]:
            raise DataError(f"the catalogue lacks {', '.join(missing)}; read it with data.dataset.read_table")
        found = {
            item_id: Item(item_id, title or "", tuple(name for name in names or () if name), description)
            for item_id, title, names, description in items.select(needed).iter_rows()
        }
        ids = items[ITEM_ID].to_list() if order is None else order
        return cls(Lexical.fit([found.get(item_id, Item(item_id, "")) for item_id in ids]))

    def scores(self, query: str) -> FloatArray:
        """How well each item matches [V], float32; 0: no word in common. A repeated word counts once."""
        words = list(dict.fromkeys(words_of(query[:MAX_CHARS])))[:MAX_WORDS]
        row: FloatArray = self.words.score_queries([" ".join(words)])[0]
        return row


@dataclass(frozen=True, slots=True)
class Mixed:
    """
    Attributes:
        scores: [V], float32; only their order means something. What retrieval ruled out (-inf) stays so.
        matched: whether any item that may be proposed matches the query.
    """

    scores: FloatArray
    matched: bool


def mixed(retrieved_V: FloatArray, query_V: FloatArray) -> Mixed:
    """Scores in the order of the rule above.

    Args:
        retrieved_V: -inf: not to be proposed; NaN: unknown to retrieval, which then has no say about a match.
        query_V: of `QueryIndex.scores`, for the same items.

    Raises:
        DataError: the two differ in length.
    """
    if len(retrieved_V) != len(query_V):
        raise DataError(
            f"{len(retrieved_V)} scores of retrieval and {len(query_V)} of the query; give one each an item"
        )
    scores_V = np.array(retrieved_V, dtype=np.float32)
    matching_V = (query_V > 0) & (scores_V != -np.inf)
    if not matching_V.any():
        return Mixed(scores_V, matched=False)
    together = _standardised(scores_V[matching_V]) + _standardised(query_V[matching_V])
    rest_V = (scores_V > -np.inf) & ~matching_V  # NaN is not above anything
    # Ranks keep the order of retrieval whatever its unit, and below the least match there is room for all of them.
    _, places = np.unique(scores_V[rest_V], return_inverse=True)
    scores_V[rest_V] = together.min() - 1.0 - (places.max(initial=0) - places)
    scores_V[matching_V] = together
    return Mixed(scores_V, matched=True)


def _standardised(scores: FloatArray) -> FloatArray:
    """Mean 0 and deviation 1 of what is a number; 0 for what is none, and everywhere where all are equal."""
    numbers = np.isfinite(scores)
    known = scores[numbers].astype(np.float64)
    found = np.zeros(len(scores))
    if len(known) and known.std() > 1e-6 * np.abs(known).max():  # less is rounding
        found[numbers] = (known - known.mean()) / known.std()
    return found
