"""What lists of recommendations are like beyond their hits: coverage, novelty and diversity.

Every function reads the first k items of each user's list; novelty and diversity give one outcome a user, so that arms
can be compared by paired intervals. Axis letters: B users.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np

from raconteur.errors import DataError
from raconteur.types import FloatArray

Lists = Sequence[Sequence[str]]  # recommended items of each user, best first


def catalogue_coverage(lists: Lists, item_ids: Collection[str], *, k: int = 10) -> float:
    """Share of the catalogue that stands among the first k of somebody.

    Raises:
        DataError: the catalogue is empty.
    """
    catalogue = set(item_ids)
    if not catalogue:
        raise DataError("coverage of an empty catalogue does not exist; give the items that could be recommended")
    return len({item for row in lists for item in row[:k]} & catalogue) / len(catalogue)


def novelty(lists: Lists, takes: Mapping[str, int], *, k: int = 10) -> FloatArray:
    """Mean -log2(share of all takes) [B] in bits; an item that nobody took counts as taken once, an empty list as 0.

    Raises:
        DataError: there are no takes at all.
    """
    total = sum(takes.values())
    if total <= 0:
        raise DataError("novelty needs the takes of the training log; it has none")
    bits = [[np.log2(total / max(takes.get(item, 0), 1)) for item in row[:k]] for row in lists]
    return np.array([np.mean(row) if row else 0.0 for row in bits])


def intra_list_diversity(lists: Lists, categories: Mapping[str, Collection[str]], *, k: int = 10) -> FloatArray:
    """Mean distance [B] of two items of a list, 1 - |shared| / |either| categories; 0 with fewer than two items.

    Two items without categories are at distance 0: nothing tells them apart.
    """
    sets = {item: frozenset(categories.get(item, ())) for row in lists for item in row[:k]}
    distances = [[_distance(sets[a], sets[b]) for a, b in combinations(row[:k], 2)] for row in lists]
    return np.array([np.mean(row) if row else 0.0 for row in distances])


def _distance(one: frozenset[str], other: frozenset[str]) -> float:
    either = one | other
    return 1.0 - len(one & other) / len(either) if either else 0.0
