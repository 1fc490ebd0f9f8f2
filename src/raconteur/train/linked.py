"""Sets the log's counts beside a Reasoner: fits them on the training log, and all weights on validation choices.

The counts have seen the takes that the Reasoner learned from and would be too sure of them; of validation takes neither
has seen any. Axis letters as in `reason.linked`.
"""

from pathlib import Path

import numpy as np

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.histories import history_before
from raconteur.data.splits import VALIDATION
from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.linked import FEATURES, LinkedReasoner, Links, features
from raconteur.retrieve.rerank import learn
from raconteur.train.examples import choices, training_log
from raconteur.types import FloatArray, Verbalizer


def link_reasoner(config: Config, data: Path, reasoner: Path, writer: Verbalizer, out: Path) -> dict[str, float]:
    """Writes the linked Reasoner's folder; returns the weights.

    Args:
        writer: whose texts the Reasoner was tuned on.

    Raises:
        TrainingError: the catalogue is too large for a matrix of items by items (retrieve.max_matrix_items).
    """
    dataset, judge = load_dataset(data), ChoiceReasoner.load(reasoner)
    item_ids = dataset.items[c.ITEM_ID].to_list()
    if len(item_ids) > config.retrieve.max_matrix_items:
        raise TrainingError(
            f"{len(item_ids)} items, and EASE's matrix is of items by items: raise retrieve.max_matrix_items above "
            f"{config.retrieve.max_matrix_items}, or do without links"
        )
    rows = choices(dataset, VALIDATION, config.evaluate.negatives[0])
    texts = writer.write(history_before(dataset.events, rows, config.text.max_events))
    truth_B = rows[c.TRUTH].to_numpy().astype(np.int64)
    links = Links.fit(training_log(dataset).sequences, item_ids)
    features_BNF = features(judge, links, texts, rows[c.CANDIDATES].to_list())
    weights_F = _weights(features_BNF, truth_B)
    with new_folder(out, kind="reasoner", config=config.model_dump(mode="json")) as folder:
        LinkedReasoner(judge, links, weights_F).save(folder)
    return {f"weight_{name}": float(weight) for name, weight in zip(FEATURES, weights_F, strict=True)}


def _weights(features_BNF: FloatArray, truth_B: np.ndarray) -> FloatArray:
    """Learned on features of deviation 1, so that the ridge treats them alike; given for the features as they are."""
    known_BNF = np.where(np.isnan(features_BNF), np.nanmin(features_BNF, axis=(0, 1)), features_BNF)
    deviation_F = np.maximum(known_BNF.std(axis=(0, 1)), 1e-9)
    return np.array(learn(known_BNF / deviation_F, truth_B)) / deviation_F
