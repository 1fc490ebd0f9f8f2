"""From item names to numbers: what the count-based retrievers share.

Axis letters: B histories, V items of the catalogue.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from raconteur.errors import DataError
from raconteur.types import FloatArray

IntArray = npt.NDArray[np.int64]


def index_items(item_ids: Sequence[str]) -> dict[str, int]:
    """Column of every item of a catalogue.

    Raises:
        DataError: the catalogue is empty or names an item twice.
    """
    index = {item_id: column for column, item_id in enumerate(item_ids)}
    if not index:
        raise DataError("the catalogue has no items; a retriever needs at least one")
    if len(index) != len(item_ids):
        raise DataError(f"the catalogue names {len(item_ids)} items but only {len(index)} are distinct; drop repeats")
    return index


def encode(histories: Sequence[Sequence[str]], index: Mapping[str, int]) -> list[IntArray]:
    """Columns of the known items of each history, oldest first; unknown items leave no gap."""
    return [np.array(list(_known(history, index)), dtype=np.int64) for history in histories]


def encode_newest(histories: Sequence[Sequence[str]], index: Mapping[str, int], num: int) -> list[IntArray]:
    """Columns of the newest `num` known items of each history, newest first; looks at no more than it needs."""
    return [np.array(list(islice(_known(reversed(history), index), num)), dtype=np.int64) for history in histories]


def _known(item_ids: Iterable[str], index: Mapping[str, int]) -> Iterator[int]:
    return (column for column in map(index.get, item_ids) if column is not None)


def distinct_newest_first(row: IntArray) -> IntArray:
    """Each item once, at its newest place: thirty episodes of one series must not push all else out of a query."""
    return np.array(list(dict.fromkeys(row[::-1].tolist())), dtype=np.int64)


def faded_sum(rows_newest_first: Sequence[IntArray], of_VX: FloatArray, *, decay: float) -> FloatArray:
    """The sum [B, X] of the rows of a dense matrix that each history names; its k-th newest item weighs decay^k.

    What `recency_query(...) @ of_VX` gives, without the sparse query, which costs more than the sum for one history.
    """
    sums_BX = np.zeros((len(rows_newest_first), of_VX.shape[1]), dtype=np.float32)
    for sum_X, row in zip(sums_BX, rows_newest_first, strict=True):
        sum_X[:] = (np.float32(decay) ** np.arange(len(row), dtype=np.float32)) @ of_VX[row]
    return sums_BX


def recency_query(rows_newest_first: Sequence[IntArray], num_items: int, *, decay: float) -> csr_array:
    """Sparse query [B, V], float32: the k-th newest item of a row weighs decay^k, repeats add up."""
    lengths = np.array([len(row) for row in rows_newest_first], dtype=np.int64)
    row_starts = np.concatenate([[0], np.cumsum(lengths)])
    ages = np.arange(row_starts[-1]) - np.repeat(row_starts[:-1], lengths)
    columns = np.concatenate([np.empty(0, dtype=np.int64), *rows_newest_first])
    weights = np.float32(decay) ** ages.astype(np.float32)
    return csr_array((weights, columns, row_starts), shape=(len(lengths), num_items))
