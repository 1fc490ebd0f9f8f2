"""Sets retrieval beside a Reasoner: fits the links on the training log, and all weights on validation choices.

The links have seen the takes that the Reasoner learned from and would be too sure of them; of validation takes neither
has seen any. Axis letters as in `reason.linked`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.histories import history_before
from raconteur.data.splits import VALIDATION
from raconteur.data.takes import takes_before
from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.linked import FEATURES, LinkedReasoner, Links, features
from raconteur.retrieve.rerank import learn
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.examples import TrainingLog, choices, training_log
from raconteur.types import FloatArray, Verbalizer


def link_reasoner(
    config: Config, data: Path, sequential: Path, reasoner: Path, writer: Verbalizer, out: Path
) -> dict[str, float]:
    """Writes the linked Reasoner's folder; returns the weights.

    Args:
        writer: whose texts the Reasoner was tuned on.

    Raises:
        TrainingError: the catalogue is too large for a matrix of items by items (retrieve.max_matrix_items).
    """
    dataset, judge = load_dataset(data), ChoiceReasoner.load(reasoner)
    links = fit_links(config, training_log(dataset), SequentialRetriever.load(sequential))
    rows = _validation(config, dataset)
    texts = writer.write(history_before(dataset.events, rows, config.text.max_events))
    weights_F = _weigh(features(judge, links, texts, rows[c.CANDIDATES].to_list()), rows)
    with new_folder(out, kind="reasoner", config=config.model_dump(mode="json")) as folder:
        LinkedReasoner(judge, links, weights_F).save(folder)
    return {f"weight_{name}": float(weight) for name, weight in zip(FEATURES, weights_F, strict=True)}


def fit_links(config: Config, log: TrainingLog, sequential: SequentialRetriever) -> Links:
    """
    Raises:
        TrainingError: as `link_reasoner`.
    """
    if len(sequential.item_ids) > config.retrieve.max_matrix_items:
        raise TrainingError(
            f"{len(sequential.item_ids)} items, and EASE's matrix is of items by items: raise "
            f"retrieve.max_matrix_items above {config.retrieve.max_matrix_items}, or do without links"
        )
    return Links.fit(sequential, log.sequences)


def links_alone(
    config: Config,
    dataset: Dataset,
    links: Links,
    taken: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
) -> FloatArray:
    """Scores [B, N] of the links without a Reasoner, weighed in the same way: what one has to add to."""
    rows = _validation(config, dataset)
    known_BNL = links.score(takes_before(dataset.events, rows), rows[c.CANDIDATES].to_list())
    scores_BN: FloatArray = links.score(taken, candidates) @ _weigh(known_BNL, rows)
    return scores_BN


def _validation(config: Config, dataset: Dataset) -> pl.DataFrame:
    return choices(dataset, VALIDATION, config.evaluate.negatives[0])


def _weigh(features_BNF: FloatArray, rows: pl.DataFrame) -> FloatArray:
    """Learned on features of deviation 1, so that the ridge treats them alike; given for the features as they are."""
    known_BNF = np.where(np.isnan(features_BNF), np.nanmin(features_BNF, axis=(0, 1)), features_BNF)
    deviation_F = np.maximum(known_BNF.std(axis=(0, 1)), 1e-9)
    return np.array(learn(known_BNF / deviation_F, rows[c.TRUTH].to_numpy().astype(np.int64))) / deviation_F
