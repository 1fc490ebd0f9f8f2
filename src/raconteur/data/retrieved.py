"""Hard negatives: items that the user never touched, drawn among those that a retriever ranks highest for the user.

Only users whose true item is itself among the first fifty have a list. With the others in, a model wins by distrusting
the retriever: on MovieLens-1M its reversed scores choose the truth in .56 of the lists, any honest count model in .21.
Axis letters: B rows of the split, V items, K first items of a ranking.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from raconteur.types import Retriever

NUM_FIRST = 50  # items of a ranking among which negatives are drawn
BLOCK_CELLS = 4_000_000  # scores in memory at a time

FitRetriever = Callable[[Sequence[Sequence[str]], Sequence[str]], Retriever]  # takes of the users, catalogue


def draw_retrieved(
    retriever: Retriever,
    histories: Sequence[Sequence[str]],
    touched: Sequence[npt.NDArray[np.int64]],
    truths_B: npt.NDArray[np.int64],
    num_negatives: int,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places [B, num_negatives] in the retriever's catalogue, and whether the row has a list.

    Args:
        histories: items that each user took before the target, oldest first.
        touched: places of all items that the user ever touched, the true one among them; none of them is drawn.
        truths_B: place of the true item, -1 where the catalogue does not have it.
    """
    num_items = len(retriever.item_ids)
    drawn_BN = np.zeros((len(histories), num_negatives), dtype=np.int64)
    is_full_B = np.array([num_items - len(row) >= num_negatives for row in touched], dtype=bool)
    if num_items < num_negatives:
        return drawn_BN, is_full_B
    num_first = min(num_items, max(NUM_FIRST, num_negatives))
    block = max(1, BLOCK_CELLS // num_items)
    for begin in range(0, len(histories), block):
        rows = touched[begin : begin + block]
        scores_BV = retriever.score(histories[begin : begin + block])
        truth_B = np.take_along_axis(scores_BV, np.maximum(truths_B[begin : begin + block], 0)[:, None], axis=1)
        scores_BV[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), np.concatenate(rows)] = -np.inf
        first_BK = np.sort(np.argpartition(-scores_BV, num_first - 1, axis=1)[:, :num_first], axis=1)
        is_retrieved_B = (scores_BV > truth_B).sum(axis=1) < NUM_FIRST
        is_full_B[begin : begin + block] &= is_retrieved_B & (truths_B[begin : begin + block] >= 0)
        keys_BK = rng.random(first_BK.shape)
        keys_BK[np.isneginf(np.take_along_axis(scores_BV, first_BK, axis=1))] = np.inf
        order_BN = np.argsort(keys_BK, axis=1)[:, :num_negatives]
        drawn_BN[begin : begin + block] = np.take_along_axis(first_BK, order_BN, axis=1)
    return drawn_BN, is_full_B
