"""What every Retriever must do, whatever its model: add a new one to FITTED."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from raconteur.config.schema import SequentialConfig
from raconteur.errors import ArtifactError
from raconteur.retrieve.dense import Dense
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.lexical import Lexical
from raconteur.retrieve.linear import Linear
from raconteur.retrieve.load import load_retriever, save
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.neighbours import Neighbours
from raconteur.retrieve.popularity import Popularity, RecentPopularity
from raconteur.retrieve.sequential import ItemLM, SequentialRetriever
from raconteur.types import Item

ITEMS = ("alien", "brazil", "clue", "dune", "unseen ü")
SEQUENCES = [["alien", "brazil", "clue"], ["alien", "brazil"], ["dune", "alien", "ghost"], [], ["clue", "clue"]]
TIMES = [[datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=step) for step in range(len(row))] for row in SEQUENCES]
HISTORIES = [["alien"], ["brazil", "alien", "alien"], [], ["dune", "clue"], ["unseen ü"]]


CATALOGUE = [Item(item, f"{item} the film", ("drama",)) for item in ITEMS]


def _sequential():
    torch.manual_seed(0)
    config = SequentialConfig(num_layers=1, width=8, num_heads=2, max_items=4)
    return SequentialRetriever(ItemLM(len(ITEMS), config), ITEMS, config)


def _fused(method):
    parts = {"sequential": _sequential(), "markov": Markov.fit(SEQUENCES, ITEMS), "dense": Dense.fit(CATALOGUE)}
    return FusedRetriever(parts, np.array([1.0, 0.5, -0.1]), method)


FITTED = {
    "popularity": lambda: Popularity.fit(SEQUENCES, ITEMS),
    "recent_popularity": lambda: RecentPopularity.fit(SEQUENCES, ITEMS, times=TIMES),
    "ease": lambda: Ease.fit(SEQUENCES, ITEMS, regularisation=1.0, decay=1.0),
    "ease_recent": lambda: Ease.fit(SEQUENCES, ITEMS, regularisation=1.0),
    "markov": lambda: Markov.fit(SEQUENCES, ITEMS),
    "markov_discounted": lambda: Markov.fit(SEQUENCES, ITEMS, discount_popular=True),
    "sequential": _sequential,
    "linear": lambda: Linear.fit(SEQUENCES, ITEMS, regularisation=1.0),
    "neighbours": lambda: Neighbours.fit(SEQUENCES, ITEMS),
    "lexical": lambda: Lexical.fit(CATALOGUE),
    "dense": lambda: Dense.fit(CATALOGUE),
    "fused_learned": lambda: _fused("learned"),
    "fused_reciprocal": lambda: _fused("reciprocal"),
}


@pytest.fixture(scope="module", params=list(FITTED))
def retriever(request):
    return FITTED[request.param]()


def test_retriever_name_and_catalogue_are_kept(retriever, request):
    assert retriever.name in request.node.callspec.id
    assert retriever.item_ids == ITEMS


def test_score_any_history_is_a_finite_row_over_the_catalogue(retriever):
    scores = retriever.score(HISTORIES)
    assert scores.shape == (len(HISTORIES), len(ITEMS))
    assert np.isfinite(scores).all()


def test_score_no_history_at_all_is_an_empty_matrix(retriever):
    assert retriever.score([]).shape == (0, len(ITEMS))


def test_score_unknown_items_are_ignored(retriever):
    with_unknown = [["ghost", *history, "another ghost"] for history in HISTORIES]
    np.testing.assert_allclose(retriever.score(with_unknown), retriever.score(HISTORIES), rtol=1e-5, atol=1e-6)


def test_score_twice_is_the_same(retriever):
    np.testing.assert_array_equal(retriever.score(HISTORIES), retriever.score(HISTORIES))


def test_score_permuted_batch_is_permuted(retriever):
    order = [3, 0, 4, 2, 1]
    permuted = retriever.score([HISTORIES[row] for row in order])
    np.testing.assert_allclose(permuted, retriever.score(HISTORIES)[order], rtol=1e-5, atol=1e-6)


def test_score_does_not_hand_out_the_models_own_memory(retriever):
    before = retriever.score(HISTORIES).copy()
    retriever.score(HISTORIES)[:] = 7.0
    np.testing.assert_array_equal(retriever.score(HISTORIES), before)


def test_save_then_load_scores_the_same(retriever, tmp_path):
    save(retriever, tmp_path / "retriever", note="contract")
    loaded = load_retriever(tmp_path / "retriever")
    assert (loaded.name, loaded.item_ids) == (retriever.name, ITEMS)
    np.testing.assert_allclose(loaded.score(HISTORIES), retriever.score(HISTORIES), rtol=1e-6)


def test_load_changed_folder_is_refused(retriever, tmp_path):
    save(retriever, tmp_path / "retriever")
    (tmp_path / "retriever" / "items.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"items\.json does not match its checksum"):
        load_retriever(tmp_path / "retriever")
