"""The classical retrievers against figures computed elsewhere on the same log, by the same protocol.

Choose 1 of 10 on MovieLens latest-small: truth = last item, fit on all but the last, nine unseen negatives in
proportion to popularity, ties split. The band is three standard errors (2 points each) around the other figures.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raconteur.evaluate.choice import score_candidates
from raconteur.evaluate.metrics import recall_at_1
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.popularity import Popularity

LOG = Path(__file__).parents[3] / ".." / "shared" / "data" / "ml-latest-small" / "ratings.csv"
BAND = 0.06


def _sequences() -> list[list[str]]:
    if not LOG.exists():
        pytest.skip(f"the real log {LOG.name} is not at ../shared/data/ml-latest-small")
    ratings = pl.read_csv(LOG).sort("userId", "timestamp", maintain_order=True)
    return ratings.group_by("userId", maintain_order=True).agg(pl.col("movieId").cast(pl.String))["movieId"].to_list()


def _negatives(popularity: Popularity, sequence: list[str], rng: np.random.Generator) -> list[str]:
    weights = popularity.scores.astype(float)
    seen = set(sequence)
    weights[[column for column, item in enumerate(popularity.item_ids) if item in seen]] = 0.0
    return rng.choice(popularity.item_ids, size=9, replace=False, p=weights / weights.sum()).tolist()


@pytest.mark.shared
@pytest.mark.slow
def test_retrievers_on_movielens_latest_small_meet_the_published_figures():
    sequences = _sequences()
    train = [sequence[:-1] for sequence in sequences]
    popularity = Popularity.fit(train, sorted({item for row in train for item in row}))
    tested = [sequence for sequence in sequences if sequence[-1] in popularity.item_ids]
    assert (len(tested), len(popularity.item_ids)) == (587, 9701)

    rng = np.random.default_rng(0)
    candidates = [[row[-1], *_negatives(popularity, row, rng)] for row in tested]
    histories, truth = [row[:-1] for row in tested], np.zeros(len(tested), dtype=np.int64)
    faded = Ease.fit(train, popularity.item_ids)
    figures = {
        "popularity": (popularity, 0.133),
        "ease": (replace(faded, decay=1.0), 0.329),
        "ease_recent": (faded, 0.387),
        "markov": (Markov.fit(train, popularity.item_ids), 0.350),
        "markov_discounted": (Markov.fit(train, popularity.item_ids, discount_popular=True), 0.371),
    }
    for name, (retriever, published) in figures.items():
        measured = recall_at_1(score_candidates(retriever, histories, candidates), truth).mean()
        assert measured == pytest.approx(published, abs=BAND), name
