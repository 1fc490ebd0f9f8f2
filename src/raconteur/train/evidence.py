"""Writes what retrieval says of every lesson's candidates, once for all light rankers that learn from them.

The parts of the served retriever have seen the lessons' own takes in the training log, and would be far surer of them
than of a take that is still to come. So lessons of a fold of users are asked of parts that were fitted on the others;
the sequential model alone, which takes long to train, is the served one. Axis letters as in `reason.light`; R lessons.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from raconteur import columns as c
from raconteur.artifacts import new_folder, verify
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.takes import takes_before
from raconteur.errors import TrainingError
from raconteur.reason.light import Evidence
from raconteur.retrieve.encode import index_items
from raconteur.retrieve.fusion import BATCH, FusedRetriever
from raconteur.retrieve.load import load_retriever
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.examples import TrainingLog, training_log
from raconteur.train.lessons import LESSONS
from raconteur.train.retrieval import fit_parts

FILE = "evidence.safetensors"
NUM_FOLDS = 4


def write_evidence(
    config: Config, data: Path, retriever: Path, sequential: Path, lessons: Path, out: Path
) -> dict[str, float]:
    """Writes `evidence.safetensors`: `parts` [R, N, P] and `state` [R, S], in the order of the lessons; counts them."""
    table = pl.read_parquet(lessons / LESSONS, columns=[c.USER_ID, c.POSITION, c.CANDIDATES])
    fused = load_fused(retriever)
    found = held_out_evidence(config, load_dataset(data), fused, SequentialRetriever.load(sequential), table)
    with new_folder(out, kind="evidence", parts=list(fused.parts), config=config.model_dump(mode="json")) as folder:
        save_file({"parts": found.parts_BNP, "state": found.state_BS}, folder / FILE)
    return {"lessons": float(table.height)}


def read_evidence(folder: Path) -> Evidence:
    """
    Raises:
        ArtifactError: the folder is unfinished, or its file was changed.
    """
    verify(folder)
    arrays = load_file(folder / FILE)
    return Evidence(arrays["parts"], arrays["state"])


def load_fused(folder: Path) -> FusedRetriever:
    """
    Raises:
        TrainingError: the folder holds a retriever without parts.
    """
    retriever = load_retriever(folder)
    if not isinstance(retriever, FusedRetriever):
        raise TrainingError(f"{folder} holds the retriever '{retriever.name}'; a light ranker needs a fused one")
    return retriever


def evidence_of(
    retriever: FusedRetriever,
    sequential: SequentialRetriever,
    taken: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
) -> Evidence:
    """Asks every part about the candidates of each history; an item that the retriever does not know gets 0.

    Args:
        taken: items that each user took, oldest first.
        candidates: as many for every history.
    """
    index = index_items(retriever.item_ids)
    columns_BN = np.array([[index.get(item_id, -1) for item_id in row] for row in candidates])
    told = []
    for start in range(0, len(taken), BATCH):
        part = slice(start, start + BATCH)
        _, evidence_PBV = retriever.score_with_parts(taken[part])
        told.append(np.take_along_axis(evidence_PBV, columns_BN[None, part], axis=2).transpose(1, 2, 0))
    parts_BNP = np.concatenate(told)
    parts_BNP[columns_BN < 0] = 0.0
    return Evidence(parts_BNP, sequential.states(taken).numpy())


def held_out_evidence(
    config: Config, dataset: Dataset, fused: FusedRetriever, sequential: SequentialRetriever, rows: pl.DataFrame
) -> Evidence:
    """Evidence of rows (user_id, position, candidates), each from parts that never saw its user.

    Raises:
        TrainingError: there are fewer users than folds.
    """
    log = training_log(dataset)
    users = log.targets[c.USER_ID].unique(maintain_order=True).to_list()  # the order of `log.sequences`
    if len(users) < NUM_FOLDS:
        raise TrainingError(f"{len(users)} users to learn from; parts are fitted without one in {NUM_FOLDS} of them")
    fold_of = {user: number % NUM_FOLDS for number, user in enumerate(users)}
    fold_R = np.array([fold_of[user] for user in rows[c.USER_ID]])
    taken, candidates = takes_before(log.events, rows), rows[c.CANDIDATES].to_list()
    num_rows, length = len(candidates), len(candidates[0])
    parts_RNP = np.zeros((num_rows, length, len(fused.parts)), dtype=np.float32)
    state_RS = np.zeros((num_rows, sequential.config.width), dtype=np.float32)
    for fold in range(NUM_FOLDS):
        asked = np.flatnonzero(fold_R == fold)
        if len(asked):
            parts = fit_parts(config.retrieve, dataset, _without(log, fold), sequential)
            of_others = FusedRetriever({name: parts[name] for name in fused.parts}, fused.weights, fused.method)
            found = evidence_of(
                of_others, sequential, [taken[row] for row in asked], [candidates[row] for row in asked]
            )
            parts_RNP[asked], state_RS[asked] = found.parts_BNP, found.state_BS
    return Evidence(parts_RNP, state_RS)


def _without(log: TrainingLog, fold: int) -> TrainingLog:
    """The log whose sequences leave one fold of users out."""
    kept = [number for number in range(len(log.sequences)) if number % NUM_FOLDS != fold]
    sequences = [log.sequences[number] for number in kept]
    return replace(log, sequences=sequences, sequence_times=[log.sequence_times[number] for number in kept])
