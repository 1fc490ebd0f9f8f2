"""What the recommender can offer: the champion's retriever and catalogue, and the popular items of the cold path."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur.columns import AVAILABLE, CATEGORIES, ITEM_ID, TITLE
from raconteur.errors import ArtifactError
from raconteur.features.build import latest
from raconteur.features.names import ITEM_TABLE, NUM_TARGETS
from raconteur.retrieve.load import load_retriever
from raconteur.types import Candidate, Retriever
from serving.path.routing import Routing, load_routing

POPULAR = "popularity"


@dataclass(frozen=True, slots=True)
class Stock:
    """Immutable, so that a request works on one version from start to end."""

    retriever: Retriever
    column: Mapping[str, int]  # item id to its score column
    unavailable: npt.NDArray[np.bool_]  # by score column
    titles: Mapping[str, str]
    categories: Mapping[str, Sequence[str]]
    available: Mapping[str, bool]
    popular: tuple[Candidate, ...]  # available items, most taken first
    routing: Routing


def load_stock(version: Path, features: Path, *, min_margin: float) -> Stock:
    """
    Args:
        version: a verified version folder.
        features: the feature tables; without an item table the retriever's scores of an empty history stand in.
        min_margin: `serve.route_margin`, which decides where there is no calibration.

    Raises:
        ArtifactError: the retriever or the catalogue cannot be read.
    """
    retriever = load_retriever(version / "retriever")
    retriever.score([[]])  # the slow first call, before the swap; a retriever that cannot score is refused here
    items = _read_catalogue(version / "items.parquet")
    available = dict(zip(items[ITEM_ID].to_list(), items[AVAILABLE].to_list(), strict=True))
    return Stock(
        retriever=retriever,
        column={item_id: index for index, item_id in enumerate(retriever.item_ids)},
        unavailable=np.array([not available.get(item_id, False) for item_id in retriever.item_ids]),
        titles=dict(zip(items[ITEM_ID].to_list(), items[TITLE].to_list(), strict=True)),
        categories=dict(zip(items[ITEM_ID].to_list(), items[CATEGORIES].to_list(), strict=True)),
        available=available,
        popular=_popular(retriever, available, features / f"{ITEM_TABLE}.parquet"),
        routing=load_routing(version, min_margin=min_margin),
    )


def retrieve(stock: Stock, taken: Sequence[str], *, seen: Collection[str], count: int) -> list[Candidate]:
    """The best `count` available items that the user has not touched, best first.

    Args:
        taken: items that the user took, oldest first.
        seen: items never to be proposed.
    """
    scores_V = np.array(stock.retriever.score([list(taken)])[0], dtype=np.float32)
    scores_V[stock.unavailable] = -np.inf
    scores_V[[stock.column[item_id] for item_id in seen if item_id in stock.column]] = -np.inf
    scores_V[np.isnan(scores_V)] = -np.inf
    order = np.argsort(-scores_V, kind="stable")[:count]
    source = stock.retriever.name
    return [
        Candidate(stock.retriever.item_ids[index], float(scores_V[index]), source)
        for index in order
        if scores_V[index] > -np.inf
    ]


def popular(stock: Stock, *, seen: Collection[str], count: int) -> list[Candidate]:
    """The most taken available items that the user has not touched."""
    hidden = set(seen)
    return [candidate for candidate in stock.popular if candidate.item_id not in hidden][:count]


def _read_catalogue(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=[ITEM_ID, TITLE, CATEGORIES, AVAILABLE]).with_columns(
            pl.col(CATEGORIES).fill_null([])
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path} is no catalogue ({error}); release the version again") from None


def _popular(retriever: Retriever, available: Mapping[str, bool], table: Path) -> tuple[Candidate, ...]:
    scores = _num_taken(table) or dict(
        zip(retriever.item_ids, np.asarray(retriever.score([[]])[0], dtype=np.float64).tolist(), strict=True)
    )
    ranked = sorted((item_id for item_id, on in available.items() if on), key=lambda item_id: -scores.get(item_id, 0.0))
    return tuple(Candidate(item_id, scores.get(item_id, 0.0), POPULAR) for item_id in ranked)


def _num_taken(table: Path) -> dict[str, float]:
    if not table.exists():
        return {}
    newest = latest(pl.read_parquet(table), ITEM_ID)
    return dict(zip(newest[ITEM_ID].to_list(), newest[NUM_TARGETS].cast(pl.Float64).to_list(), strict=True))
