"""Writes what students learn from, once for all of them: candidate lists, and the Reasoner's scores on each.

Every text of stage 2 gets two lists: the true item among negatives drawn by popularity, as the Reasoner was trained,
and what a retriever proposes, much as a student is served. The second holds the true item only where it was proposed.
Beside them stands the Reasoner's state after each text, which says how well every item of the catalogue suits it. The
pipeline has the sequential model propose: the served fusion counts the lessons' own takes and would know the truth.
"""

from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.reason.choice import ChoiceReasoner
from raconteur.retrieve.load import load_retriever
from raconteur.train.examples import IntArray, NegativeSampler, TrainingLog, training_log
from raconteur.train.tune import TEXTS
from raconteur.types import FloatArray, Retriever

LESSONS, STATES = "lessons.parquet", "states.npy"
DRAWN, RETRIEVED = "popularity", "retrieved"
BATCH = 256  # users scored at once
POOL = 3  # a retrieved list is drawn from this many times its length: the order alone must not be the answer
SCHEMA = pl.Schema(
    {
        c.USER_ID: pl.String(),
        c.POSITION: pl.Int64(),
        "lists": pl.String(),  # DRAWN or RETRIEVED
        "text": pl.String(),
        "number": pl.Int64(),  # the text's row among the states
        c.CANDIDATES: pl.List(pl.String),
        c.TRUTH: pl.Int64(),  # place of the item that was taken; -1: it is not among them
        "scores": pl.List(pl.Float32),  # the Reasoner's
    }
)


def write_lessons(config: Config, data: Path, retriever: Path, reasoner: Path, out: Path) -> dict[str, float]:
    """Writes `lessons.parquet` (`SCHEMA`), and `states.npy` [texts, width] of a Reasoner with a pointer to item tokens.

    Returns how many lessons there are and how often the Reasoner is right.

    Args:
        reasoner: tuned, with the texts that it was tuned on.
    """
    dataset = load_dataset(data)
    item_ids = tuple(dataset.items[c.ITEM_ID].to_list())
    log = training_log(dataset)
    teacher = ChoiceReasoner.load(reasoner)
    table = pl.read_parquet(reasoner / TEXTS)
    rng = np.random.default_rng([config.seed, 8])
    sampler = NegativeSampler(log, item_ids)
    size = min(config.retrieve.num_ranked, len(item_ids) // 2)
    lists = {
        DRAWN: _drawn(table, sampler, item_ids, size, rng),
        RETRIEVED: _retrieved(table, log, load_retriever(retriever), size, rng),
    }
    taught = pl.concat([_taught(name, numbers_BN, table, teacher, item_ids) for name, numbers_BN in lists.items()])
    labelled = taught.filter(pl.col(c.TRUTH) >= 0)
    right = labelled.select((pl.col("scores").list.arg_max() == pl.col(c.TRUTH)).mean()).item()
    metrics = {"lessons": float(taught.height), "labelled": labelled.height / taught.height, "teacher_right": right}
    with new_folder(out, kind="lessons", metrics=metrics, config=config.model_dump(mode="json")) as folder:
        taught.write_parquet(folder / LESSONS)
        if teacher.model.suits_items:
            np.save(folder / STATES, teacher.states(table["text"].to_list()).numpy())
    return metrics


def _drawn(
    table: pl.DataFrame, sampler: NegativeSampler, item_ids: tuple[str, ...], size: int, rng: np.random.Generator
) -> IntArray:
    """The true item and negatives, shuffled [B, N]."""
    index = {item_id: number for number, item_id in enumerate(item_ids)}
    truths_B = np.array([index[item_id] for item_id in table[c.ITEM_ID]])
    users_B = np.array([sampler.users[user] for user in table[c.USER_ID]])
    batches = np.array_split(np.arange(len(users_B)), max(1, len(users_B) // BATCH))
    negatives_BN = np.concatenate([sampler.draw(users_B[rows], size - 1, rng) for rows in batches])
    return rng.permuted(np.concatenate([truths_B[:, None], negatives_BN], axis=1), axis=1)


def _retrieved(
    table: pl.DataFrame, log: TrainingLog, retriever: Retriever, size: int, rng: np.random.Generator
) -> IntArray:
    """Drawn from what the retriever puts first among the items not taken before, shuffled [B, N]."""
    taken = takes_before(log.events, table)
    index = {item_id: number for number, item_id in enumerate(retriever.item_ids)}
    rows = []
    for start in range(0, table.height, BATCH):
        part = taken[start : start + BATCH]
        for score_V, items in zip(retriever.score(part), part, strict=True):
            score_V[[index[item_id] for item_id in items]] = -np.inf
            # Only for a user who has taken nearly the whole catalogue do taken items fill the list.
            pool = min(POOL * size, max(size, len(score_V) - len(set(items))))
            rows.append(rng.permutation(np.argsort(-score_V)[:pool])[:size])
    return np.array(rows)


def _taught(
    name: str, numbers_BN: IntArray, table: pl.DataFrame, teacher: ChoiceReasoner, item_ids: tuple[str, ...]
) -> pl.DataFrame:
    candidates = [[item_ids[number] for number in row] for row in numbers_BN]
    texts = table["text"].to_list()
    scores_BN: FloatArray = teacher.score(texts, candidates)
    places = [
        row.index(truth) if truth in row else -1
        for row, truth in zip(candidates, table[c.ITEM_ID].to_list(), strict=True)
    ]
    return pl.DataFrame(
        {
            c.USER_ID: table[c.USER_ID],
            c.POSITION: table[c.POSITION],
            "lists": [name] * table.height,
            "text": texts,
            "number": range(table.height),
            c.CANDIDATES: candidates,
            c.TRUTH: places,
            "scores": scores_BN.tolist(),
        },
        schema=SCHEMA,
    )
