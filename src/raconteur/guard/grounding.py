"""Keeps an answer on the ground: catalogue items that were candidates and may be shown, each once, best first.

A pure function, called on every ranking before it leaves the service. A model's bad output is data here: it is
repaired, and each repair is named in the reasons, which monitoring counts.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from raconteur.types import Candidate


@dataclass(frozen=True, slots=True)
class Grounded:
    """A ranking that may be shown, and what had to be repaired to get it."""

    ranking: tuple[Candidate, ...]  # best first, unknown scores (NaN) last
    reasons: tuple[str, ...]  # one per kind of repair, with its count; empty where nothing was wrong


def ground(
    proposed: Sequence[Candidate], *, candidates: Collection[str], available: Mapping[str, bool], k: int
) -> Grounded:
    """The best k of what a ranker proposed, without what must not be shown.

    Equal scores keep the order in which they were proposed, which is the retriever's.

    Args:
        proposed: scored items in any order; of an item proposed twice the first one counts.
        candidates: ids that the ranker was asked about.
        available: the catalogue: item id to whether the item can be had now.
        k: length of the answer at most.
    """
    kept: dict[str, Candidate] = {}
    repairs: dict[str, int] = {}
    for candidate in proposed:
        fault = _fault(candidate.item_id, seen=kept, candidates=candidates, available=available)
        if fault is None:
            kept[candidate.item_id] = candidate
        else:
            repairs[fault] = repairs.get(fault, 0) + 1
    ranking = sorted(kept.values(), key=_best_first)[:k]
    return Grounded(tuple(ranking), tuple(f"{count} {fault}" for fault, count in repairs.items()))


def _fault(
    item_id: str, *, seen: Collection[str], candidates: Collection[str], available: Mapping[str, bool]
) -> str | None:
    if item_id not in candidates:
        return "not among the candidates"
    if item_id not in available:
        return "not in the catalogue"
    if not available[item_id]:
        return "not available"
    if item_id in seen:
        return "proposed twice"
    return None


def _best_first(candidate: Candidate) -> tuple[bool, float]:
    unknown = math.isnan(candidate.score)
    return unknown, 0.0 if unknown else -candidate.score
