"""The light ranker: orders candidates by vectors and by what retrieval says of them; no language model is run.

Every candidate is scored for itself, so neither their order nor the rest of the list matters:

    score = w · evidence + prior + network(narrative, state, item, narrative * item, state * item, evidence)

A narrative is the mean of its tokens' vectors, an item the mean of its own; evidence is what every part of the fused
retriever says of the candidate, state the sequential model's after the newest takes. Where candidates were retrieved,
both are there already. Trained by `train.light`; NumPy alone here, since on a list of twenty each call into torch costs
more than the sums in it. Axis letters: B texts, N candidates, T tokens, D width of the vectors, P parts of the
retriever, S width of the sequential state, U = 2 D features of a text, F = 3 D + P of a candidate, H hidden units.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from raconteur.artifacts import MANIFEST, verify
from raconteur.errors import ArtifactError, DataError
from raconteur.reason.prompts import IntArray, Prompts
from raconteur.represent.tokenizer import FILE
from raconteur.types import FloatArray

KIND = "light"
WEIGHTS = "model.safetensors"
SCORE_BATCH = 512


@dataclass(frozen=True)
class Evidence:
    """What retrieval knows of requests beside the names of their candidates."""

    parts_BNP: FloatArray  # on the retriever's common scale; 0: the part has no say
    state_BS: FloatArray

    def __getitem__(self, rows: slice | IntArray) -> "Evidence":
        return Evidence(self.parts_BNP[rows], self.state_BS[rows])


@dataclass(frozen=True)
class Weights:
    """The network of two layers, and what is linear beside it; float32."""

    tokens_TD: FloatArray
    prior_T: FloatArray  # of each token
    evidence_P: FloatArray
    state_DS: FloatArray  # from the state to a vector
    text_HU: FloatArray  # from what is the same for the whole list to the hidden units
    item_HF: FloatArray
    bias_H: FloatArray
    out_H: FloatArray


class LightRanker:
    """Scores like a `types.Reasoner`, which has to be told what retrieval knows as well."""

    def __init__(self, weights: Weights, prompts: Prompts) -> None:
        """
        Raises:
            ArtifactError: the weights do not fit together or to the tokenizer, or one is NaN or infinite.
        """
        _check(weights, prompts.tokenizer.get_vocab_size())
        self.weights, self.prompts = weights, prompts

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]], evidence: Evidence) -> FloatArray:
        """Scores [texts, candidates], float32, higher is better; an item that the model does not know scores NaN.

        A part or a state that is NaN or infinite has no say.

        Raises:
            DataError: the evidence is of other parts, another state, or other candidates than these.
        """
        if not len(texts):
            return np.zeros((0, 0), dtype=np.float32)
        num_parts, state_width = len(self.weights.evidence_P), self.weights.state_DS.shape[1]
        expected = (len(texts), len(candidates[0]), num_parts), (len(texts), state_width)
        got = evidence.parts_BNP.shape, evidence.state_BS.shape
        if got != expected:
            raise DataError(f"evidence of shape {got}, expected {expected}; ask the retriever of the ranker's training")
        parts = [slice(start, start + SCORE_BATCH) for start in range(0, len(texts), SCORE_BATCH)]
        return np.concatenate([self._score_batch(texts[part], candidates[part], evidence[part]) for part in parts])

    def _score_batch(self, texts: Sequence[str], candidates: Sequence[Sequence[str]], evidence: Evidence) -> FloatArray:
        items = self.prompts.encode_items([item_id for row in candidates for item_id in row])
        known = _finite(evidence.parts_BNP), _finite(evidence.state_BS)
        scores_BN = forward(self.weights, self.prompts.encode_texts(texts), items, *known)
        scores_BN[np.array([not ids for ids in items]).reshape(scores_BN.shape)] = np.nan
        return scores_BN

    def save(self, folder: Path) -> None:
        save_file(vars(self.weights), folder / WEIGHTS)
        self.prompts.tokenizer.save(str(folder / FILE))
        (folder / "config.json").write_text(json.dumps({"kind": KIND, **self.prompts.settings()}))

    @classmethod
    def load(cls, folder: Path) -> "LightRanker":
        """
        Raises:
            ArtifactError: the folder holds another kind of model or none, a file was changed, or its weights are no
                light ranker's.
        """
        if (folder / MANIFEST).exists():
            verify(folder)
        try:
            kind = json.loads((folder / "config.json").read_text())["kind"]
            if kind != KIND:
                raise ArtifactError(f"{folder} holds a model of kind '{kind}', expected '{KIND}'")
            weights = Weights(**load_file(folder / WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no readable light ranker: {error}") from error
        return cls(weights, Prompts.load(folder))


def forward(
    weights: Weights,
    texts: Sequence[Sequence[int]],
    items: Sequence[Sequence[int]],
    parts_BNP: FloatArray,
    state_BS: FloatArray,
) -> FloatArray:
    """Scores [B, N], float32.

    Args:
        texts: token ids of each text; one without any is a vector of 0.
        items: token ids of each candidate, list after list.
    """
    each = (*parts_BNP.shape[:2], -1)
    item_XD, prior_X1 = _means(items, weights.tokens_TD, weights.prior_T[:, None])
    (text_BD,) = _means(texts, weights.tokens_TD)
    text_BD *= text_BD.shape[1] ** 0.5  # a mean over many tokens is short: to the scale of a single vector
    state_BD = state_BS @ weights.state_DS.T
    item_BND = item_XD.reshape(each)
    shared_BH = np.concatenate([text_BD, state_BD], axis=1) @ weights.text_HU.T + weights.bias_H
    features = [item_BND, text_BD[:, None] * item_BND, state_BD[:, None] * item_BND, parts_BNP]
    hidden_BNH = np.maximum(np.concatenate(features, axis=2) @ weights.item_HF.T + shared_BH[:, None], 0.0)
    scores_BN: FloatArray = hidden_BNH @ weights.out_H + parts_BNP @ weights.evidence_P
    return scores_BN + prior_X1.reshape(each[:2])


def _means(rows: Sequence[Sequence[int]], *tables_TX: FloatArray) -> list[FloatArray]:
    """Of each table, the mean of the rows that each list of ids names; 0 for an empty list."""
    ids = np.array([number for row in rows for number in row], dtype=np.int64)
    if len(ids) == len(rows) and all(map(len, rows)):  # an id each, as items mostly have
        return [table_TX[ids] for table_TX in tables_TX]
    lengths = np.array([len(row) for row in rows])
    full = lengths > 0
    starts = (np.cumsum(lengths) - lengths)[full]
    found = []
    for table_TX in tables_TX:
        means = np.zeros((len(rows), table_TX.shape[1]), dtype=table_TX.dtype)
        if len(ids):
            means[full] = np.add.reduceat(table_TX[ids], starts, axis=0) / lengths[full, None]
        found.append(means)
    return found


def _finite(array: FloatArray) -> FloatArray:
    return np.where(np.isfinite(array), array, 0.0).astype(np.float32)


def _check(weights: Weights, num_tokens: int) -> None:
    width, num_parts, num_hidden = weights.tokens_TD.shape[-1], len(weights.evidence_P), len(weights.out_H)
    shapes = {
        "tokens_TD": (num_tokens, width),
        "prior_T": (num_tokens,),
        "evidence_P": (num_parts,),
        "state_DS": (width, weights.state_DS.shape[-1]),
        "text_HU": (num_hidden, 2 * width),
        "item_HF": (num_hidden, 3 * width + num_parts),
        "bias_H": (num_hidden,),
        "out_H": (num_hidden,),
    }
    for field in fields(weights):
        array = getattr(weights, field.name)
        if array.shape != shapes[field.name]:
            raise ArtifactError(
                f"{field.name} of a light ranker is of shape {array.shape}, expected {shapes[field.name]}; "
                "it belongs to another model or tokenizer"
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{field.name} of a light ranker holds a NaN or an infinity; train it again")
