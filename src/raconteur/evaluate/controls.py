"""Controls of the table: does a gain come from this user's text, and does it survive another order of candidates?

Axis letters: B users, N candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raconteur.errors import DataError
from raconteur.evaluate.metrics import IntArray, recall_at_1
from raconteur.types import Reasoner


@dataclass(frozen=True, slots=True)
class Spread:
    """Recall@1 over several orders of the same candidates."""

    mean: float
    lowest: float
    highest: float


def shuffled(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Each user's text replaced by another user's: one random cycle through all users, so nobody keeps their own.

    An arm on these texts shows what a Reasoner gets from the candidates and from any text at all; a gain that is
    really about the user is lost there.

    Raises:
        DataError: there are fewer than two users.
    """
    if len(texts) < 2:
        raise DataError(f"{len(texts)} text cannot be exchanged with another user's; this control needs two users")
    cycle = rng.permutation(len(texts))
    others = dict(zip(cycle.tolist(), np.roll(cycle, 1).tolist(), strict=True))
    return [texts[others[user]] for user in range(len(texts))]


def order_spread(
    reasoner: Reasoner,
    texts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    truth_B: IntArray,
    seeds: Sequence[int],
) -> Spread:
    """Recall@1 with the candidates of every user in one random order a seed.

    Args:
        candidates: [B, N] item ids.
        truth_B: index of the truth in each list.

    Raises:
        DataError: there is no seed.
    """
    if not seeds:
        raise DataError("the spread over candidate orders needs at least one seed; got none")
    recalls = [_recall_in_order(reasoner, texts, candidates, truth_B, seed) for seed in seeds]
    return Spread(float(np.mean(recalls)), min(recalls), max(recalls))


def _recall_in_order(
    reasoner: Reasoner, texts: Sequence[str], candidates: Sequence[Sequence[str]], truth_B: IntArray, seed: int
) -> float:
    items_BN = np.array(candidates, dtype=object)
    order_BN = np.random.default_rng(seed).permuted(np.tile(np.arange(items_BN.shape[1]), (len(items_BN), 1)), axis=1)
    turned_BN = np.take_along_axis(items_BN, order_BN, axis=1)
    moved_B = (order_BN == truth_B[:, None]).argmax(axis=1)
    return float(recall_at_1(reasoner.score(texts, turned_BN.tolist()), moved_B).mean())
