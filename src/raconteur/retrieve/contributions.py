"""Which items of a history brought an item: what each of them added to the score of an item-item model.

EASE, Linear and Markov score an item by a sum over the history, so their contributions are exact and cost one look into
the matrix. A fusion adds its parts' scores on a common scale: what a part adds to an item, where it speaks for it, is
divided among the history's items in proportion to their contributions there, and the parts are summed. Other retrievers
(popularity, sequential, neighbours, lexical, dense) give no such sum: for them nothing is told.
Axis letters: H distinct items of the history, K items that a model asks with, N items asked about, P parts of a fusion,
V items of the catalogue.
"""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import numpy as np
from scipy.sparse import csr_array

from raconteur.retrieve.ease import Ease
from raconteur.retrieve.encode import IntArray, distinct_newest_first
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.linear import DECAY, NEWEST, Linear
from raconteur.retrieve.markov import QUERY_DECAY, QUERY_ITEMS, Markov
from raconteur.types import FloatArray, Retriever

ItemItem = Ease | Linear | Markov


def contributions(
    retriever: Retriever,
    history: Sequence[str],
    item_ids: Sequence[str],
    *,
    column: Mapping[str, int],
    evidence: Mapping[str, FloatArray] | None = None,
    most: int | None = None,
) -> list[dict[str, float]]:
    """For each item asked about, history item to what it added; only entries that are not 0.

    Of an item-item model they sum to the item's score; of a fusion they are positive, and sum to what its item-item
    parts of positive weight add to the item.

    Args:
        history: items that the user took, oldest first.
        column: item id to its score column (its place in `retriever.item_ids`); items without one are left out.
        most: entries of an item, the greatest; None: all.
        evidence: by item, what every part of a fusion says on the common scale [P], where that is known already.
    """
    taken = np.array([column[item_id] for item_id in history if item_id in column], dtype=np.int64)
    asked = {item_id: number for number, item_id in enumerate(one for one in dict.fromkeys(item_ids) if one in column)}
    columns_N = np.array([column[item_id] for item_id in asked], dtype=np.int64)
    if isinstance(retriever, FusedRetriever):
        known = bool(asked) and evidence is not None and asked.keys() <= evidence.keys()
        evidence_PN = np.stack([evidence[one] for one in asked], axis=1) if known and evidence else None
        rows_H, added_HN = _by_fusion(retriever, taken, columns_N, evidence_PN)
    else:
        rows_H, added_HN = _added(retriever, taken, columns_N)
    names = [retriever.item_ids[row] for row in rows_H]
    order_MN = np.argsort(-added_HN, axis=0, kind="stable")[:most]
    most_MN = np.take_along_axis(added_HN, order_MN, axis=0)
    told = {
        item_id: {names[row]: added for row, added in zip(order_M, most_M, strict=True) if added}
        for item_id, order_M, most_M in zip(asked, order_MN.T.tolist(), most_MN.T.tolist(), strict=True)
    }
    return [told.get(item_id, {}) for item_id in item_ids]


def _added(retriever: Retriever, taken: IntArray, columns_N: IntArray) -> tuple[IntArray, FloatArray]:
    """Distinct items of the history [H], and what each adds to the items asked about [H, N]."""
    rows_H = np.unique(taken)
    added_HN = np.zeros((len(rows_H), len(columns_N)))
    if _is_item_item(retriever):
        items_K, added_KN = _terms(retriever, taken, columns_N)
        added_HN += _summed(rows_H, items_K, added_KN)
    return rows_H, added_HN


def _by_fusion(
    fused: FusedRetriever, taken: IntArray, columns_N: IntArray, evidence_PN: FloatArray | None
) -> tuple[IntArray, FloatArray]:
    chosen = [
        (place, weight, part)
        for place, (part, weight) in enumerate(zip(fused.parts.values(), fused.weights.tolist(), strict=True))
        if weight > 0 and _is_item_item(part)
    ]
    rows_H = np.unique(taken)
    total_HN = np.zeros((len(rows_H), len(columns_N)))
    if not chosen or not len(taken):
        return rows_H, total_HN
    if evidence_PN is None:
        history = [fused.item_ids[place] for place in taken]
        evidence_PN = fused.score_with_parts([history])[1][:, 0, columns_N]
    for place, weight, part in chosen:
        items_K, added_KN = _terms(part, taken, columns_N)
        for_it_KN = np.maximum(added_KN, 0.0)
        said_N = weight * np.maximum(evidence_PN[place], 0.0)
        shared_KN = for_it_KN * (said_N / np.maximum(for_it_KN.sum(axis=0), 1e-12))
        total_HN += _summed(rows_H, items_K, shared_KN)
    return rows_H, total_HN


def _terms(model: ItemItem, taken: IntArray, columns_N: IntArray) -> tuple[IntArray, FloatArray]:
    """The model's sum before it is summed: the items it asks with [K], one perhaps twice, and their terms [K, N]."""
    newest_first_K, decay = _asked(model, taken)
    fading_K = np.float32(decay) ** np.arange(len(newest_first_K), dtype=np.float32)
    if isinstance(model, Markov):
        links_KN = _dense_rows(model.follows, newest_first_K)[:, columns_N]
    else:
        links_KN = model.weights[newest_first_K[:, None], columns_N]
    return newest_first_K, fading_K[:, None] * links_KN


def _summed(rows_H: IntArray, items_K: IntArray, added_KN: FloatArray) -> FloatArray:
    """Sums [H, N] of the rows that belong to each item; several times faster than `np.add.at`."""
    total_HN = np.zeros((len(rows_H), added_KN.shape[1]), dtype=added_KN.dtype)
    order_K = np.argsort(items_K, kind="stable")
    items, starts = np.unique(items_K[order_K], return_index=True)
    if len(items):
        total_HN[np.searchsorted(rows_H, items)] = np.add.reduceat(added_KN[order_K], starts, axis=0)
    return total_HN


def _dense_rows(matrix_VV: csr_array, rows_K: IntArray) -> FloatArray:
    """By hand: SciPy's own indexing takes longer than all the rest of a small request."""
    dense_KV = np.zeros((len(rows_K), matrix_VV.shape[1]), dtype=np.float32)
    for dense_V, row in zip(dense_KV, rows_K, strict=True):
        stored = slice(matrix_VV.indptr[row], matrix_VV.indptr[row + 1])
        dense_V[matrix_VV.indices[stored]] = matrix_VV.data[stored]
    return dense_KV


def _asked(model: ItemItem, taken: IntArray) -> tuple[IntArray, float]:
    """The items that the model asks with, newest first, and how its query fades from one to the next."""
    if isinstance(model, Ease):
        return distinct_newest_first(taken), model.decay
    newest, decay = (NEWEST, DECAY) if isinstance(model, Linear) else (QUERY_ITEMS, QUERY_DECAY)
    return taken[::-1][:newest], decay


def _is_item_item(retriever: Retriever) -> TypeGuard[ItemItem]:
    return isinstance(retriever, Ease | Linear | Markov)
