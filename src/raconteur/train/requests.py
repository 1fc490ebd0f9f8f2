"""Writes the requests that routing is learned and judged on: what each model answers to the same held-out request.

Two kinds of lists: `popularity`, the fixed lists of the split, and `served`, what the retriever proposes to that user,
whether the item taken next is among it or not; there a model's scores are combined with the retriever's as they are
in serving (`retrieve.rerank`), by weights learned on the validation users, for whom calibration and thresholds are
found as well. Test users are for the curve. Costs are CPU milliseconds of one request at a time, and tokens read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import content_version, new_folder, write_json
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.histories import history_before
from raconteur.data.takes import takes_before
from raconteur.evaluate.routing import COSTS, KINDS, MIDDLE, REASONER, REQUESTS, SCHEMA, SPLITS, Cost
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.onnx import OnnxReasoner
from raconteur.represent.load import writer_of
from raconteur.retrieve.load import load_retriever
from raconteur.retrieve.rerank import Rerank, features, learn
from raconteur.train.examples import choices, training_log
from raconteur.train.turns import Call, costs_in_turns
from raconteur.types import Retriever, Verbalizer

BATCH = 256  # users retrieved for at once
TIMED = 200  # requests asked one at a time for the costs
POPULARITY, SERVED = KINDS
RETRIEVED = "retrieved"  # the retriever's scores, beside the candidates of a served list
Ranker = ChoiceReasoner | OnnxReasoner


def write_requests(
    config: Config,
    data: Path,
    retriever: Path,
    reasoner: Path,
    student: Path,
    verbalizer: Path | Verbalizer,
    out: Path,
    *,
    middle: Path | None = None,
) -> dict[str, float]:
    """Writes `requests.parquet` and `costs.json`; returns the cost of each model in CPU milliseconds a request.

    Args:
        student: as it is served (ONNX).
        middle: another one, larger; a curve shows what it gives on everything.
    """
    dataset = load_dataset(data)
    writer = writer_of(verbalizer)
    folders = {"student": student, "reasoner": reasoner} | ({"middle": middle} if middle else {})
    models: dict[str, Ranker] = {
        name: ChoiceReasoner.load(folder) if name == REASONER else OnnxReasoner.load(folder)
        for name, folder in folders.items()
    }
    frames, texts = [], {}
    proposing = load_retriever(retriever)
    for split in SPLITS:
        drawn = choices(dataset, split, config.evaluate.negatives[0])
        texts = dict(zip(drawn[c.USER_ID], _texts(drawn, dataset, writer, config), strict=True))
        served = _served(drawn, dataset, proposing, config.retrieve.num_ranked)
        frames += [_answered(POPULARITY, drawn, texts, models), _answered(SERVED, served, texts, models)]
    table = _with_context(pl.concat(frames, how="diagonal"), dataset)
    rerank = learn_rerank(table, list(models), _takes(dataset))
    table = _reranked(table, rerank)
    costs = _costs(models, frames[-1].head(TIMED), texts)
    versions = {name: content_version(folder) for name, folder in folders.items()}
    with new_folder(out, kind="requests", versions=versions, config=config.model_dump(mode="json")) as folder:
        table.select(SCHEMA.names()).cast(SCHEMA).write_parquet(folder / REQUESTS)
        write_json(folder / COSTS, {name: asdict(cost) for name, cost in costs.items()})
        rerank.save(folder)
    return {f"{name}_ms": cost.ms for name, cost in costs.items()}


def _texts(rows: pl.DataFrame, dataset: Dataset, writer: Verbalizer, config: Config) -> list[str]:
    return writer.write(history_before(dataset.events, rows, config.text.max_events))


def _served(rows: pl.DataFrame, dataset: Dataset, retriever: Retriever, num: int) -> pl.DataFrame:
    """The same rows with the first `num` untouched items of the retriever, in its order."""
    taken = takes_before(dataset.events, rows)
    touched = takes_before(dataset.events.with_columns(pl.lit(True).alias(c.IS_TARGET)), rows)
    index = {item_id: number for number, item_id in enumerate(retriever.item_ids)}
    lists, scores = [], []
    for start in range(0, rows.height, BATCH):
        scores_BV = retriever.score(taken[start : start + BATCH])
        for score_V, items in zip(scores_BV, touched[start : start + BATCH], strict=True):
            score_V[[index[item_id] for item_id in items if item_id in index]] = -np.inf
            first_N = np.argsort(-score_V, kind="stable")[:num]
            lists.append([retriever.item_ids[number] for number in first_N])
            scores.append(score_V[first_N].tolist())
    truths = rows[c.ITEM_ID].to_list()
    places = [row.index(truth) if truth in row else -1 for row, truth in zip(lists, truths, strict=True)]
    return rows.with_columns(
        pl.Series(c.CANDIDATES, lists),
        pl.Series(c.TRUTH, places, dtype=pl.Int64),
        pl.Series(RETRIEVED, scores, dtype=pl.List(pl.Float32)),
    )


def learn_rerank(table: pl.DataFrame, models: Sequence[str], takes: Mapping[str, float]) -> Rerank:
    """Weights for each model, from the served lists of the validation users that hold what was taken.

    Raises:
        TrainingError: there is none.
    """
    lists = table.filter((pl.col(c.SPLIT) == SPLITS[0]) & (pl.col("lists") == SERVED) & (pl.col(c.TRUTH) >= 0))
    popularity = [np.log1p([takes.get(item_id, 0.0) for item_id in row]) for row in lists[c.CANDIDATES].to_list()]
    retrieved, truth_B = lists[RETRIEVED].to_list(), lists[c.TRUTH].to_numpy()
    weights = {}
    for model in models:
        rows = zip(lists[model].to_list(), popularity, retrieved, strict=True)
        found = [features(np.array(scores), common, np.array(first)) for scores, common, first in rows]
        weights[model] = learn(np.array(found), truth_B)
    return Rerank(weights, takes)


def _reranked(table: pl.DataFrame, rerank: Rerank) -> pl.DataFrame:
    """Puts combined scores in the place of a model's own on the served lists."""
    is_served = table["lists"] == SERVED
    for model in rerank.weights:
        combined = [
            rerank.scores(model, np.array(scores), candidates, np.array(retrieved)).tolist() if served else scores
            for scores, candidates, retrieved, served in zip(
                table[model].to_list(),
                table[c.CANDIDATES].to_list(),
                table[RETRIEVED].to_list(),
                is_served,
                strict=True,
            )
        ]
        table = table.with_columns(pl.Series(model, combined, dtype=pl.List(pl.Float32)))
    return table


def _takes(dataset: Dataset) -> dict[str, float]:
    counts = training_log(dataset).targets[c.ITEM_ID].value_counts()
    return {item_id: float(count) for item_id, count in counts.iter_rows()}


def _answered(lists: str, rows: pl.DataFrame, texts: Mapping[str, str], models: Mapping[str, Ranker]) -> pl.DataFrame:
    read = [texts[user] for user in rows[c.USER_ID]]
    candidates = rows[c.CANDIDATES].to_list()
    answers = {name: model.score(read, candidates).tolist() for name, model in models.items()}
    missing = {name: [None] * rows.height for name in (MIDDLE,) if name not in answers}
    return rows.select(
        pl.format("{}/{}/{}", c.SPLIT, pl.lit(lists), c.USER_ID).alias("request_id"),
        c.USER_ID,
        c.SPLIT,
        pl.lit(lists).alias("lists"),
        c.CANDIDATES,
        c.TRUTH,
        c.POSITION,
        *([RETRIEVED] if RETRIEVED in rows.columns else []),
        *(pl.Series(name, scores, dtype=pl.List(pl.Float32)) for name, scores in (answers | missing).items()),
    )


def _with_context(table: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """Adds what a router may know beside the scores: events before, and candidates that nobody took in training."""
    warm = set(training_log(dataset).targets[c.ITEM_ID].unique())
    num_cold = [sum(item_id not in warm for item_id in row) for row in table[c.CANDIDATES].to_list()]
    return table.with_columns(pl.col(c.POSITION).alias("num_events"), pl.Series("num_cold", num_cold, dtype=pl.Int64))


def _costs(models: Mapping[str, Ranker], rows: pl.DataFrame, texts: Mapping[str, str]) -> dict[str, Cost]:
    """Processor time and mean tokens of one request."""
    asked = [texts[user] for user in rows[c.USER_ID]], rows[c.CANDIDATES].to_list()
    costs = costs_in_turns({name: _call(model, *asked) for name, model in models.items()}, rows.height)
    return {name: replace(cost, tokens=_mean_tokens(models[name], *asked)) for name, cost in costs.items()}


def _call(model: Ranker, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> Call:
    return lambda part: model.score(texts[part], candidates[part])


def _mean_tokens(model: Ranker, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> float:
    layout, _ = model.prompts.choices(texts, candidates)
    return float(layout.places_BN[:, -1].mean()) + 2  # up to the last candidate, and the cue to answer
