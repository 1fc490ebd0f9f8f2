"""Full ranking: HR@10 and NDCG@10 over the whole catalogue, seen items removed. No sampled metrics.

Axis letters: B users, V items of the catalogue.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.evaluate.metrics import BoolArray, hit_at, ndcg
from raconteur.types import FloatArray, Retriever

BATCH = 256  # histories ranked at once: bounds the [batch, catalogue] matrices


@dataclass(frozen=True, slots=True)
class FullRanking:
    """One outcome a user; a mean over users is the published figure."""

    hit: FloatArray  # [B]
    ndcg: FloatArray  # [B]


def rank_catalogue(
    retriever: Retriever,
    histories: Sequence[Sequence[str]],
    truths: Sequence[str],
    *,
    seen: Sequence[Collection[str]],
    k: int = 10,
) -> FullRanking:
    """`rank_catalogue_at` for one k."""
    return rank_catalogue_at(retriever, histories, truths, seen=seen, ks=(k,))[k]


def rank_catalogue_at(
    retriever: Retriever,
    histories: Sequence[Sequence[str]],
    truths: Sequence[str],
    *,
    seen: Sequence[Collection[str]],
    ks: Sequence[int],
) -> dict[int, FullRanking]:
    """Ranks every item that a user has not seen; the catalogue is scored once for all k.

    A truth that was seen, or that the retriever does not know, is a miss.

    Args:
        seen: items to remove per user, usually all that the user ever touched before.

    Raises:
        DataError: the inputs differ in number of users.
    """
    if not len(histories) == len(truths) == len(seen):
        raise DataError(
            f"{len(histories)} histories, {len(truths)} truths, {len(seen)} seen lists; give one each a user"
        )
    index = {item_id: column for column, item_id in enumerate(retriever.item_ids)}
    hits, gains = {k: [np.empty(0)] for k in ks}, {k: [np.empty(0)] for k in ks}
    for start in range(0, len(histories), BATCH):
        batch = slice(start, start + BATCH)
        scores_BV = np.asarray(retriever.score(histories[batch]))
        removed_BV = _mask(seen[batch], index)
        truth_B = np.array([index.get(item_id, 0) for item_id in truths[batch]], dtype=np.int64)
        known_B = np.array([item_id in index for item_id in truths[batch]])
        for k in ks:
            hits[k].append(known_B * hit_at(scores_BV, truth_B, k=k, removed_BN=removed_BV))
            gains[k].append(known_B * ndcg(scores_BV, truth_B, k=k, removed_BN=removed_BV))
    return {k: FullRanking(np.concatenate(hits[k]), np.concatenate(gains[k])) for k in ks}


def _mask(seen: Sequence[Collection[str]], index: dict[str, int]) -> BoolArray:
    mask_BV = np.zeros((len(seen), len(index)), dtype=bool)
    for row, items in enumerate(seen):
        mask_BV[row, [index[item_id] for item_id in items if item_id in index]] = True
    return mask_BV
