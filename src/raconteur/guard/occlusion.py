"""What in a user's text carried a ranker's score: take a part away, score again, and see how much of the lead goes.

The lead of a candidate is its score less the mean of the other candidates' scores: a ranker's scores mean something
only against each other. One batch of texts serves all candidates: `occlusion` for a ranker that is called directly;
`parts_of` and `shares_of`, before and after the call, for one that is awaited.
An item's part of a text is its row (`12d play 43 <item:17>`) or its mention and what is said of it until the sentence
ends. A category's part is the parts of all its items, and its name in the rest of the text.
Source: occlusion (Zeiler & Fergus, 2014), at the level of a narrative's items. Axis letters: P parts, N candidates.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np

from raconteur.types import FloatArray

MAX_ITEMS, MAX_CATEGORIES = 16, 4  # taken away in turn: bounds the texts that are scored
MIN_ITEMS = 2  # of a category; one of a single item would only repeat that item's share
MAX_SHARES = 5  # told of one candidate
NO_LEAD = 1e-6

_MENTION = re.compile(r"<item:([^<>\s]+)>")
_AGE = re.compile(r"(?<!\S)\d+d(?!\S)")
_STOP = re.compile(r"[.!?](?=\s|$)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text: what speaks of one item, or of all items of one category."""

    item_id: str | None
    category: str | None
    text_without: str


@dataclass(frozen=True, slots=True)
class Share:
    """
    Attributes:
        weight: share of the lead that went with the part; above 1 where the candidate fell behind the others. Shares
            need not sum to 1: one part may stand in for another.
    """

    item_id: str | None
    category: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a text, and the item that it speaks of; None: of none."""

    text: str
    item_id: str | None


def occlusion(
    score: Callable[[Sequence[str], Sequence[Sequence[str]]], FloatArray],
    text: str,
    candidates: Sequence[str],
    categories: Mapping[str, Sequence[str]],
) -> list[tuple[Share, ...]]:
    """Shares of each candidate, in the candidates' order, greatest first.

    Args:
        score: a `types.Reasoner.score`; called once.
        categories: by item id.
    """
    parts = parts_of(text, categories)
    texts = [text, *(part.text_without for part in parts)]
    return shares_of(parts, score(texts, [candidates] * len(texts)))


def parts_of(text: str, categories: Mapping[str, Sequence[str]]) -> list[Part]:
    """The newest items that a text names, and the categories most of its items have, each with the text without it."""
    pieces = segments(text)
    items = list(dict.fromkeys(piece.item_id for piece in reversed(pieces) if piece.item_id is not None))
    of_category: dict[str, list[str]] = {}
    for item_id in items:
        for name in dict.fromkeys(categories.get(item_id) or ()):
            of_category.setdefault(name, []).append(item_id)
    frequent = sorted(of_category, key=lambda name: -len(of_category[name]))[:MAX_CATEGORIES]
    return [
        *(Part(item_id, None, _without(pieces, {item_id})) for item_id in items[:MAX_ITEMS]),
        *(
            Part(None, name, _without(pieces, set(of_category[name]), word=name))
            for name in frequent
            if len(of_category[name]) >= MIN_ITEMS
        ),
    ]


def shares_of(parts: Sequence[Part], scores_TN: FloatArray) -> list[tuple[Share, ...]]:
    """
    Args:
        scores_TN: scores of the whole text, then of the text without each part [1 + parts, candidates].
    """
    lost_PN = lost_leads(scores_TN)
    return [
        tuple(
            Share(parts[row].item_id, parts[row].category, round(float(lost_P[row]), 4))
            for row in np.argsort(-lost_P, kind="stable")[:MAX_SHARES]
            if lost_P[row] > 0
        )
        for lost_P in lost_PN.T
    ]


def lost_leads(scores_TN: FloatArray) -> FloatArray:
    """Share of each candidate's lead in the first row that is gone in each further row [T - 1, N].

    0 where there is no lead to lose: the candidate is not ahead of the mean of the others, is alone, or has no number.
    """
    scores_TN = np.asarray(scores_TN, dtype=np.float64)
    real_TN = np.isfinite(scores_TN)
    filled_TN = np.where(real_TN, scores_TN, 0.0)
    others_TN = real_TN.sum(axis=1, keepdims=True) - real_TN
    mean_TN = (filled_TN.sum(axis=1, keepdims=True) - filled_TN) / np.maximum(others_TN, 1)
    lead_TN = np.where(real_TN & (others_TN > 0), filled_TN - mean_TN, np.nan)
    ahead_N = lead_TN[0] > NO_LEAD
    lost_PN = 1.0 - lead_TN[1:] / np.where(ahead_N, lead_TN[0], 1.0)
    return np.where(ahead_N & np.isfinite(lost_PN), lost_PN, 0.0)


def segments(text: str) -> list[Segment]:
    """The text, cut where it turns from one item to another; joined again they are the text."""
    cuts: list[tuple[int, str | None]] = [(0, None)]  # where a segment begins, and its item
    after, item_id = 0, None
    for found in [*_MENTION.finditer(text), None]:
        row = _AGE.search(text, after, found.start()) if found else None
        begin = row.start() if row else found.start() if found else len(text)
        if item_id is not None and (stop := _STOP.search(text, after, begin)):
            cuts.append((stop.end(), None))
        if found:
            after, item_id = found.end(), unquote(found[1])
            cuts.append((begin, item_id))
    ends = [begin for begin, _ in cuts[1:]] + [len(text)]
    return [Segment(text[begin:end], one) for (begin, one), end in zip(cuts, ends, strict=True) if begin < end]


def _without(pieces: Sequence[Segment], items: Collection[str], *, word: str | None = None) -> str:
    """The text without what speaks of these items, and without a word in what speaks of none."""
    gone = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) if word else None
    left = (
        gone.sub(" ", piece.text) if gone and piece.item_id is None else piece.text
        for piece in pieces
        if piece.item_id not in items
    )
    return " ".join(" ".join(left).split())
