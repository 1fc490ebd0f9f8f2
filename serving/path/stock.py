"""What the recommender can offer: the champion's retriever, catalogue, rules and router, and the popular items.

Axis letters: R items of the retriever, in the order of its scores; V those, then what only the catalogue knows;
P parts.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur.columns import AVAILABLE, CATEGORIES, ITEM_ID, TITLE
from raconteur.config.schema import RouteConfig
from raconteur.data.dataset import ITEMS
from raconteur.errors import ArtifactError
from raconteur.features.build import latest
from raconteur.features.names import ITEM_TABLE, NUM_TARGETS
from raconteur.guard.evidence import MAX_CARRIED
from raconteur.guard.rules import Catalogue, Wanted
from raconteur.retrieve.contributions import contributions
from raconteur.retrieve.encode import index_items
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.load import load_retriever
from raconteur.retrieve.query import QueryIndex, mixed
from raconteur.types import Candidate, FloatArray, Retriever
from serving.path.routing import REASONER, STUDENT, Routing, load_routing

POPULAR = "popularity"
REQUESTED = "request"  # source of a candidate that the client named
QUERIED = "query"  # source of an item that only the catalogue knows, found by its text
PROMPT_FILES = ("tokenizer.json", "config.json", "reasoner.json")


@dataclass(frozen=True, slots=True)
class Stock:
    """Immutable, so that a request works on one version from start to end."""

    retriever: Retriever
    columns: Mapping[str, int]  # of the retriever's items, in its scores
    item_ids: tuple[str, ...]  # [V]
    rules: Catalogue
    queries: QueryIndex
    titles: Mapping[str, str]
    categories: Mapping[str, Sequence[str]]
    available: Mapping[str, bool]
    popular: tuple[Candidate, ...]  # most taken first
    routing: Routing
    catalogue_version: str
    prompts: Mapping[str, str]  # of student and Reasoner: version of the form in which they are asked


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be proposed."""

    wanted: Wanted
    query: str | None = None
    given: tuple[str, ...] | None = None  # rank these; None: whatever the retriever finds


def load_stock(version: Path, features: Path, *, route: RouteConfig, own_reasoner: bool = True) -> Stock:
    """
    Args:
        version: a verified version folder.
        features: the feature tables; without an item table the retriever's scores of an empty history stand in.
        route, own_reasoner: see `load_routing`.

    Raises:
        ArtifactError: the retriever or the catalogue cannot be read.
    """
    retriever = load_retriever(version / "retriever")
    empty_V = np.asarray(retriever.score([[]])[0])  # the slow first call, before the swap; one that fails is refused
    items = _read_catalogue(version / "items.parquet")
    columns = index_items(retriever.item_ids)
    item_ids = (*retriever.item_ids, *(one for one in items[ITEM_ID].to_list() if one not in columns))
    available = dict(zip(items[ITEM_ID].to_list(), items[AVAILABLE].to_list(), strict=True))
    taken = _num_taken(features / f"{ITEM_TABLE}.parquet") or dict(
        zip(retriever.item_ids, empty_V.astype(np.float64).tolist(), strict=True)
    )
    return Stock(
        retriever=retriever,
        columns=columns,
        item_ids=item_ids,
        rules=Catalogue.of(items, item_ids),
        queries=QueryIndex.of(items, item_ids),
        titles=dict(zip(items[ITEM_ID].to_list(), items[TITLE].to_list(), strict=True)),
        categories=dict(zip(items[ITEM_ID].to_list(), items[CATEGORIES].to_list(), strict=True)),
        available=available,
        popular=tuple(
            Candidate(item_id, taken.get(item_id, 0.0), POPULAR)
            for item_id in sorted(available, key=lambda item_id: -taken.get(item_id, 0.0))
        ),
        routing=load_routing(version, route, own_reasoner=own_reasoner),
        catalogue_version=_digest([version / "items.parquet"]),
        prompts={
            name: _digest([version / name / file for file in PROMPT_FILES if (version / name / file).exists()])
            for name in (STUDENT, REASONER)
        },
    )


@dataclass(frozen=True, slots=True)
class Quest:
    """A question to the retriever."""

    taken: Sequence[str]  # items that the user took, oldest first
    seen: Collection[str]  # items never to be proposed, unless the client names the candidates itself
    wish: Wish
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a retriever answers."""

    candidates: list[Candidate]  # best first
    notes: list[str] = field(default_factory=list)  # what of the wish could not be met, in words
    carried: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by candidate: item taken, its share


def retrieve(stock: Stock, quest: Quest) -> Found:
    """The best items that may be shown, or the client's own candidates, and which items of the history brought them."""
    wish = quest.wish
    scores_R, parts_PR = _scores(stock, list(quest.taken))
    scores_V = np.full(len(stock.item_ids), np.nan, dtype=np.float32)
    scores_V[: len(scores_R)] = scores_R
    allowed_V = stock.rules.allowed(wish.wanted)
    if wish.given is None:
        allowed_V[_places(stock, quest.seen)] = False
    scores_V[~allowed_V] = -np.inf
    notes: list[str] = []
    if wish.query is not None:
        matching = mixed(scores_V, stock.queries.scores(wish.query))
        scores_V = matching.scores
        notes = [] if matching.matched else ["no item matches the query"]
    if wish.given is not None:
        found, refused = _given(stock, wish, scores_V)
        notes += refused
    else:
        found = _found(stock, scores_V, parts_PR, quest.count)
    return Found(found, notes, _carried(stock, quest.taken, found, parts_PR))


def popular(stock: Stock, *, seen: Collection[str], wish: Wish, count: int) -> list[Candidate]:
    """The most taken items that may be shown and that the user has not touched."""
    allowed_V, hidden = stock.rules.allowed(wish.wanted), set(seen)
    given = None if wish.given is None else set(wish.given)
    found: list[Candidate] = []
    for candidate in stock.popular:
        if len(found) == count:
            break
        place = stock.rules.index[candidate.item_id]
        if not allowed_V[place]:
            continue
        if candidate.item_id in given if given is not None else candidate.item_id not in hidden:
            found.append(candidate)
    return found


def _best(scores: FloatArray, count: int) -> npt.NDArray[np.int64]:
    """Where the greatest scores stand, greatest first; of equal ones the first."""
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        among = np.flatnonzero(scores >= least)
    else:
        among = np.arange(len(scores))
    return among[np.argsort(-scores[among], kind="stable")[:count]]


def _found(stock: Stock, scores_V: FloatArray, parts_PR: FloatArray | None, count: int) -> list[Candidate]:
    """The best of those that may be shown, with the part that brought each."""
    places_N = np.flatnonzero(scores_V > -np.inf)
    best_N = places_N[_best(scores_V[places_N], count)]
    return [
        Candidate(stock.item_ids[place], float(scores_V[place]), source)
        for place, source in zip(best_N.tolist(), _sources(stock, parts_PR, best_N), strict=True)
    ]


def _carried(
    stock: Stock, taken: Sequence[str], found: Sequence[Candidate], parts_PR: FloatArray | None
) -> dict[str, dict[str, float]]:
    """What the items of the history added to each candidate's score; nothing for items that the retriever lacks."""
    column = stock.columns
    known = [one.item_id for one in found if one.item_id in column]
    evidence = None if parts_PR is None else {item_id: parts_PR[:, column[item_id]] for item_id in known}
    carried = contributions(stock.retriever, taken, known, column=column, evidence=evidence, most=MAX_CARRIED)
    return dict(zip(known, carried, strict=True))


def _given(stock: Stock, wish: Wish, scores_V: FloatArray) -> tuple[list[Candidate], list[str]]:
    """The client's candidates that may be shown, in the retriever's order; those that it does not know come last."""
    found, refused = [], []
    for item_id in dict.fromkeys(wish.given or ()):
        fault = stock.rules.why_not(item_id, wish.wanted)
        if fault is None:
            found.append(Candidate(item_id, float(scores_V[stock.rules.index[item_id]]), REQUESTED))
        else:
            refused.append(fault)
    found.sort(key=lambda one: (np.isnan(one.score), -one.score))
    return found, [f"{refused.count(fault)} {fault}" for fault in dict.fromkeys(refused)]


def _scores(stock: Stock, taken: list[str]) -> tuple[FloatArray, FloatArray | None]:
    """Scores [R] of the retriever's items, and what its parts say [P, R]."""
    if isinstance(stock.retriever, FusedRetriever):
        scores_BR, parts_PBR = stock.retriever.score_with_parts([taken])
        return scores_BR[0], parts_PBR[:, 0]
    return np.asarray(stock.retriever.score([taken])[0], dtype=np.float32), None


def _sources(stock: Stock, parts_PR: FloatArray | None, places_N: npt.NDArray[np.int64]) -> list[str]:
    """Which part brought each item."""
    num_known = len(stock.columns)
    names = [stock.retriever.name if place < num_known else QUERIED for place in places_N]
    if parts_PR is not None and isinstance(stock.retriever, FusedRetriever):
        known = [number for number, place in enumerate(places_N) if place < num_known]
        parts = stock.retriever.sources(parts_PR[:, places_N[known]])
        for number, part in zip(known, parts, strict=True):
            names[number] = part
    return names


def _places(stock: Stock, item_ids: Collection[str]) -> list[int]:
    index = stock.rules.index
    return [index[item_id] for item_id in item_ids if item_id in index]


def _read_catalogue(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=list(ITEMS)).with_columns(pl.col(CATEGORIES).fill_null([]))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path} is no catalogue ({error}); release the version again") from None


def _num_taken(table: Path) -> dict[str, float]:
    if not table.exists():
        return {}
    newest = latest(pl.read_parquet(table), ITEM_ID)
    return dict(zip(newest[ITEM_ID].to_list(), newest[NUM_TARGETS].cast(pl.Float64).to_list(), strict=True))


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
