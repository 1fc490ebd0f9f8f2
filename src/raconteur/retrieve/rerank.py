"""Orders what a retriever proposed by what the retriever and a model say of it together.

A model is trained against negatives drawn by popularity, so its score says how much more an item fits this user than
others; how often it is taken at all has to stand beside it. The weights of the four are learned listwise on lists that
neither retriever nor model was trained on. Axis letters: B lists, N candidates, F features.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from raconteur.errors import ArtifactError, TrainingError
from raconteur.types import FloatArray

FILE = "rerank.json"
FEATURES = ("retriever's score", "retriever's place", "model's score", "popularity")
RIDGE = 1e-3  # on the weights, beside the mean loss of a list

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rerank:
    """Weights of `FEATURES` for each model."""

    weights: Mapping[str, tuple[float, ...]]
    takes: Mapping[str, float]  # of each item in training

    def scores(self, model: str, model_N: FloatArray, candidates: Sequence[str], retrieved_N: FloatArray) -> FloatArray:
        """Scores [N] of one list, higher is better, finite whatever the model said.

        Args:
            model: whose scores these are, a key of `weights`.
            model_N: NaN where it does not know the item.
            retrieved_N: the retriever's scores; candidates stand in its order.
        """
        popularity_N = np.log1p([self.takes.get(item_id, 0.0) for item_id in candidates])
        scores_N: FloatArray = features(model_N, popularity_N, retrieved_N) @ np.array(self.weights[model])
        return scores_N

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps({"weights": dict(self.weights), "takes": dict(self.takes)}))

    @classmethod
    def load(cls, folder: Path) -> "Rerank":
        """
        Raises:
            ArtifactError: the folder holds no weights.
        """
        try:
            saved = json.loads((folder / FILE).read_text())
            weights = {model: tuple(map(float, values)) for model, values in saved["weights"].items()}
            takes = {item_id: float(count) for item_id, count in saved["takes"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ArtifactError(f"{folder / FILE} holds no weights: {error}") from error
        if any(len(values) != len(FEATURES) for values in weights.values()):
            raise ArtifactError(f"{folder / FILE} is for other features than {', '.join(FEATURES)}; learn it again")
        return cls(weights, takes)


def features(model_N: FloatArray, popularity_N: FloatArray, retrieved_N: FloatArray) -> FloatArray:
    """What the weights apply to [N, F]."""
    place_N = -np.log(np.arange(1.0, len(model_N) + 1.0))
    return np.stack([_standardised(retrieved_N), place_N, _filled(model_N), popularity_N], axis=1)


def learn(features_BNF: FloatArray, truth_B: IntArray) -> tuple[float, ...]:
    """Weights [F] that maximise the mean log-probability of the true items under a softmax over their lists.

    Raises:
        TrainingError: there is no list to learn from.
    """
    if not len(features_BNF):
        raise TrainingError("no list holds its true item; rank more candidates (retrieve.num_ranked)")
    rows_B = np.arange(len(truth_B))
    true_BF = features_BNF[rows_B, truth_B]

    def loss(weights_F: FloatArray) -> tuple[float, FloatArray]:
        logprobs_BN = log_softmax(features_BNF @ weights_F, axis=1)
        expected_BF = np.einsum("bn,bnf->bf", np.exp(logprobs_BN), features_BNF)
        value = -logprobs_BN[rows_B, truth_B].mean() + RIDGE * weights_F @ weights_F
        return value, (expected_BF - true_BF).mean(axis=0) + 2 * RIDGE * weights_F

    found = minimize(loss, np.zeros(features_BNF.shape[2]), jac=True, method="L-BFGS-B")
    return tuple(float(weight) for weight in found.x)


def _standardised(scores_N: FloatArray) -> FloatArray:
    spread = scores_N.std()
    return (scores_N - scores_N.mean()) / spread if spread > 0 else np.zeros(len(scores_N))


def _filled(scores_N: FloatArray) -> FloatArray:
    """Unknown items take the lowest known score, less its mean; all unknown: no opinion."""
    known_N = ~np.isnan(scores_N)
    if not known_N.any():
        return np.zeros(len(scores_N))
    filled_N = np.where(known_N, scores_N, scores_N[known_N].min())
    return filled_N - filled_N.mean()
