"""Fits the parts of the fused retriever and learns how to weigh them: the step after the sequential model.

Every part sees the training log alone, so its scores for validation targets are honest and the weights can be fitted
on them: a softmax over the union of each part's best items, one target a user. The metrics come from weights of one
half of the validation users, measured on the other half; the weights that are saved are then fitted on both halves.
Axis letters: P parts, B users, V items, E items of all unions, one user's after the other's.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize

from raconteur import columns as c
from raconteur.artifacts import new_folder, verify
from raconteur.config.schema import Config, RetrieveConfig
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.splits import TEST
from raconteur.data.takes import takes_before
from raconteur.errors import TrainingError
from raconteur.evaluate.full import rank_catalogue_at
from raconteur.retrieve.dense import Dense
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.fusion import BATCH, FusedRetriever, Part, part_scores, standardised
from raconteur.retrieve.lexical import Lexical
from raconteur.retrieve.linear import Linear
from raconteur.retrieve.load import load_retriever
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.neighbours import Neighbours
from raconteur.retrieve.popularity import Popularity, RecentPopularity
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.retrieve.sequential_onnx import GRAPH
from raconteur.train.builds import export_sequential
from raconteur.train.examples import TrainingLog, catalogue, training_log
from raconteur.types import FloatArray, Retriever

RIDGE = 1e-3  # on the squared weights, per user: nearly equal parts share a weight
LEAST_SHARE = 0.05  # of the largest weight: a part with less changes next to nothing, and each part costs time
NUM_RECALLED = 100  # the shortlist that a second stage ranks
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """Users to fit or to measure on: what they took before, and what then."""

    taken: list[list[str]]
    truths: list[str]

    def part(self, rows: IntArray) -> "Asked":
        return Asked([self.taken[row] for row in rows], [self.truths[row] for row in rows])


@dataclass(frozen=True)
class Unions:
    """Standardised scores [E, P] of the union of every part's best items; where users start, and their truths."""

    evidence_EP: FloatArray
    starts_B: IntArray
    truth_B: IntArray  # index into the first axis


def train_retrieval(config: Config, data: Path, sequential: Path, out: Path) -> dict[str, float]:
    """Writes the fused retriever's folder; returns recall@100, HR@10 and NDCG@10 of held-out validation users.

    Raises:
        TrainingError: fewer than four validation users, or none whose truth any part proposes.
    """
    dataset, settings = load_dataset(data), config.retrieve
    log = training_log(dataset)
    validation = asked(dataset, "validation")
    if len(validation.truths) < 4:
        raise TrainingError(f"{len(validation.truths)} validation users; the fusion needs 4 to fit and to measure on")
    collaborative = SequentialRetriever.load(sequential)
    parts = fit_parts(settings, dataset, log, collaborative)
    half, held = np.array_split(np.random.default_rng(config.seed).permutation(len(validation.truths)), 2)
    fused = fuse(settings, parts, validation.part(half))
    metrics = {
        **measure(fused, validation.part(held), "fused"),
        **measure(parts["sequential"], validation.part(held), "sequential"),
    }
    final = fuse(settings, parts, validation)
    metrics |= {f"weight_{name}": float(weight) for name, weight in zip(final.parts, final.weights, strict=True)}
    versions = {
        "sequential": verify(sequential).get("created"),
        "catalogue_version": dataset.manifest["catalogue_version"],
    }
    about = {"kind": "retriever", "config": config.model_dump(mode="json"), "metrics": metrics, **versions}
    with new_folder(out, artefact="retriever", **about) as folder:
        final.save(folder)
        if "sequential" in final.parts:
            export_sequential(collaborative.model, folder / "sequential" / GRAPH)
    return metrics


def refit_retrieval(config: Config, data: Path, fused: Path, sequential: Path, out: Path) -> dict[str, float]:
    """Writes the parts of a fused retriever, fitted on everything before the test targets, under its weights.

    The validation takes, on which the weights were fitted, are among what these parts have seen, so the parts are right
    for a test target and for nothing earlier. Returns recall@100, HR@10 and NDCG@10 of the test users.

    Args:
        sequential: trained on the same part of the log.

    Raises:
        TrainingError: `fused` holds another kind of retriever.
    """
    dataset, honest = load_dataset(data), load_retriever(fused)
    if not isinstance(honest, FusedRetriever):
        raise TrainingError(f"{fused} holds no fused retriever, so there are no weights to keep")
    collaborative = SequentialRetriever.load(sequential)
    parts = fit_parts(config.retrieve, dataset, training_log(dataset, before=TEST), collaborative)
    refitted = FusedRetriever({name: parts[name] for name in honest.parts}, honest.weights, honest.method)
    test = asked(dataset, TEST)
    metrics = {**measure(refitted, test, "fused"), **measure(collaborative, test, "sequential")}
    versions = {"weights": verify(fused).get("created"), "catalogue_version": dataset.manifest["catalogue_version"]}
    about = {"kind": "retriever", "config": config.model_dump(mode="json"), "metrics": metrics, **versions}
    with new_folder(out, artefact="retriever", **about) as folder:
        refitted.save(folder)
    return metrics


def asked(dataset: Dataset, split: str) -> Asked:
    """Every user of a split, with the items taken before the target."""
    rows = dataset.split.filter(pl.col(c.SPLIT) == split)
    return Asked(takes_before(dataset.events, rows), rows[c.ITEM_ID].to_list())


def fit_parts(settings: RetrieveConfig, dataset: Dataset, log: TrainingLog, sequential: Part) -> dict[str, Part]:
    """The parts by name; those with a matrix of items by items are left out where the catalogue is too large."""
    ids, sequences = list(sequential.item_ids), log.sequences
    known = catalogue(dataset)
    missing = [item_id for item_id in ids if item_id not in known]
    if missing:
        raise TrainingError(f"the sequential model knows '{missing[0]}', the data set does not; train it on this one")
    items = [known[item_id] for item_id in ids]
    fits: dict[str, Callable[[], Part]] = {
        "sequential": lambda: sequential,
        "popularity": lambda: Popularity.fit(sequences, ids),
        "recent_popularity": lambda: RecentPopularity.fit(sequences, ids, times=log.sequence_times),
        "markov": lambda: Markov.fit(sequences, ids),
        "markov_discounted": lambda: Markov.fit(sequences, ids, discount_popular=True),
        "neighbours": lambda: Neighbours.fit(sequences, ids),
        "lexical": lambda: Lexical.fit(items),
        "dense": lambda: Dense.fit(items),
    }
    if len(ids) <= settings.max_matrix_items:
        fits |= {"ease": lambda: Ease.fit(sequences, ids), "linear": lambda: Linear.fit(sequences, ids)}
    return {name: fit() for name, fit in fits.items()}


def fuse(settings: RetrieveConfig, parts: dict[str, Part], users: Asked) -> FusedRetriever:
    """The parts with weights for these users; those that hardly weigh are left out, and the others weighed again."""
    if settings.method == "reciprocal":
        return FusedRetriever(parts, np.ones(len(parts)), "reciprocal")
    asked = unions(parts, users, settings.num_candidates)
    weights = fit_weights(asked)
    kept = np.abs(weights) >= np.abs(weights).max() * LEAST_SHARE
    names = [name for name, stays in zip(parts, kept, strict=True) if stays]
    return FusedRetriever(
        {name: parts[name] for name in names},
        fit_weights(replace(asked, evidence_EP=asked.evidence_EP[:, kept])),
    )


def unions(parts: dict[str, Part], users: Asked, num: int) -> Unions:
    """What the parts say of the best `num` unseen items of each; a user whose truth is not among them is left out."""
    ids = next(iter(parts.values())).item_ids
    index = {item_id: column for column, item_id in enumerate(ids)}
    evidence, truths, starts = [], [], [0]
    for rows in np.split(np.arange(len(users.truths)), range(BATCH, len(users.truths), BATCH)):
        batch = users.part(rows)
        evidence_PBV = standardised(part_scores(parts, batch.taken), list(parts))
        for row, (taken, truth) in enumerate(zip(batch.taken, batch.truths, strict=True)):
            best_E = _best_unseen(evidence_PBV[:, row], [index[item] for item in set(taken) if item in index], num)
            place = np.searchsorted(best_E, index.get(truth, len(ids)))
            if place < len(best_E) and best_E[place] == index.get(truth):
                truths.append(starts[-1] + int(place))
                evidence.append(evidence_PBV[:, row, best_E].T)
                starts.append(starts[-1] + len(best_E))
    if not truths:
        raise TrainingError("no part proposes the truth of any validation user; there is nothing to fit the fusion on")
    return Unions(np.concatenate(evidence), np.array(starts[:-1]), np.array(truths))


def fit_weights(unions: Unions) -> FloatArray:
    """Weights [P] that make the truths likeliest under a softmax over each user's union: convex, so one answer."""
    evidence_EP, starts_B = unions.evidence_EP.astype(np.float64), unions.starts_B
    sizes_B = np.diff([*starts_B, len(evidence_EP)])

    def loss(weights_P: FloatArray) -> tuple[float, FloatArray]:
        scores_E = evidence_EP @ weights_P
        shifted_E = scores_E - np.repeat(np.maximum.reduceat(scores_E, starts_B), sizes_B)
        totals_B = np.add.reduceat(np.exp(shifted_E), starts_B)
        errors_E = np.exp(shifted_E) / np.repeat(totals_B, sizes_B)
        errors_E[unions.truth_B] -= 1.0
        value = np.mean(np.log(totals_B) - shifted_E[unions.truth_B]) + RIDGE * weights_P @ weights_P
        return float(value), errors_E @ evidence_EP / len(starts_B) + 2.0 * RIDGE * weights_P

    return minimize(loss, np.zeros(evidence_EP.shape[1]), jac=True, method="L-BFGS-B").x


def measure(retriever: Retriever, users: Asked, name: str) -> dict[str, float]:
    """HR@10, NDCG@10 and recall@100 over the whole catalogue, what was taken removed."""
    seen: Sequence[Collection[str]] = users.taken
    ranked = rank_catalogue_at(retriever, users.taken, users.truths, seen=seen, ks=(10, NUM_RECALLED))
    top, wide = ranked[10], ranked[NUM_RECALLED]
    return {
        f"{name}_hit_10": float(top.hit.mean()),
        f"{name}_ndcg_10": float(top.ndcg.mean()),
        f"{name}_recall_{NUM_RECALLED}": float(wide.hit.mean()),
    }


def _best_unseen(evidence_PV: FloatArray, seen: Sequence[int], num: int) -> IntArray:
    """Columns, ascending, of the items that any part ranks among its best `num` unseen ones."""
    evidence_PV = evidence_PV.copy()
    evidence_PV[:, seen] = -np.inf
    num = min(num, evidence_PV.shape[1] - len(seen))
    if num <= 0:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.argpartition(-evidence_PV, num - 1, axis=1)[:, :num])
