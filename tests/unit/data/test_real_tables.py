"""Real logs prepared as their configs say, against facts counted and figures computed elsewhere on the same logs."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raconteur import columns
from raconteur.config.load import load
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.prepare import prepare
from raconteur.data.splits import training_events
from raconteur.data.takes import take_sequences, takes_before
from raconteur.evaluate.choice import score_candidates
from raconteur.evaluate.metrics import recall_at_1
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.markov import Markov
from raconteur.types import Retriever

pytestmark = [pytest.mark.shared, pytest.mark.slow]

CONFIG = Path(__file__).parents[3] / "configs" / "retail.toml"
BAND = 0.024  # three standard errors of a Recall@1 near one half over 4,000 users


@pytest.fixture(scope="module")
def retail(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("retail") / "data"
    config = load([CONFIG], [f"data.path={shared_data / 'online-retail-2009-2010'}"])
    prepare(config, folder)
    return load_dataset(folder)


def test_retail_every_test_is_a_discovery_of_a_customer_with_three_products(retail: Dataset) -> None:
    products = retail.events.filter(columns.IS_TARGET).group_by(columns.USER_ID).agg(pl.col(columns.ITEM_ID).n_unique())
    tests = retail.split.filter(pl.col(columns.SPLIT) == "test")
    assert retail.split[columns.DISCOVERY].all()
    # A first touch by a cancellation is no discovery, so a few customers of three products have fewer of them.
    assert (tests.height, products.filter(pl.col(columns.ITEM_ID) >= 3).height) == (4_138, 4_143)
    assert retail.candidates.height == 2 * 4_138
    assert retail.manifest["counts"]["num_untitled_items"] == 367


def test_retail_count_models_meet_the_figures_computed_elsewhere(retail: Dataset) -> None:
    rows = retail.candidates.filter(pl.col(columns.SPLIT) == "test").join(
        retail.split.drop(columns.ITEM_ID), on=[columns.USER_ID, columns.SPLIT], maintain_order="left"
    )
    histories, candidates = takes_before(retail.events, rows), rows[columns.CANDIDATES].to_list()
    sequences = take_sequences(training_events(retail.events, retail.split))
    item_ids = retail.items[columns.ITEM_ID].to_list()

    def recall(retriever: Retriever) -> float:
        return float(
            np.mean(recall_at_1(score_candidates(retriever, histories, candidates), rows[columns.TRUTH].to_numpy()))
        )

    assert recall(Ease.fit(sequences, item_ids)) == pytest.approx(0.471, abs=BAND)
    assert recall(Markov.fit(sequences, item_ids)) == pytest.approx(0.454, abs=BAND)
    assert recall(Markov.fit(sequences, item_ids, discount_popular=True)) == pytest.approx(0.482, abs=BAND)
