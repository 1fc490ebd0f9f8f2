"""Measures one cell of the table, or the baselines beside it: outcomes a user on every kind of negatives.

A cell's folder holds `outcomes.parquet` (`OUTCOMES`) and `cell.json`: costs of its arms, seconds of the stages behind
it, what is known of its texts, and the machine. Axis letters: B rows (a user and a kind of negatives), N candidates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder, write_json
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.takes import takes_before
from raconteur.evaluate.arms import NO_COST, ORACLE, Cost
from raconteur.evaluate.choice import COLD, DISCOVERY, TAIL
from raconteur.evaluate.controls import Spread, order_spread, shuffled
from raconteur.evaluate.full import rank_catalogue
from raconteur.evaluate.metrics import mrr, ndcg, recall_at_1
from raconteur.reason.load import load_choice
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.ablate.machine import machine
from raconteur.train.ablate.texts import FACTS, TEXT, TEXTS
from raconteur.train.examples import choices, training_log
from raconteur.train.linked import fit_links, links_alone
from raconteur.train.table import Arm, Choices, classical_arms, listed, oracle_arm, reasoner_arm, slices_of
from raconteur.types import FloatArray, Reasoner

OUTCOMES_FILE, CELL = "outcomes.parquet", "cell.json"
OUTCOMES = pl.Schema(
    {
        "arm": pl.String,
        c.USER_ID: pl.String,
        c.NEGATIVES: pl.String,
        "recall": pl.Float64,  # Recall@1
        "ndcg": pl.Float64,  # over the whole list
        "mrr": pl.Float64,
        DISCOVERY: pl.Boolean,
        COLD: pl.Boolean,
        TAIL: pl.Boolean,
    }
)
OWN, SHUFFLED = "own text", "shuffled user"  # arms of a cell: the texts of the users themselves, and of others
LINKS = "sequential, EASE, Markov"  # weighed as beside a Reasoner, without one
FULL_RANKING_K = 10
ORDERS = (1, 2, 3)  # seeds of other orders of the candidates


def evaluate_cell(
    config: Config,
    data: Path,
    reasoner: Path,
    texts: Path,
    out: Path,
    *,
    controls: bool,
    about: Mapping[str, Any],
) -> dict[str, float]:
    """Scores a Reasoner on a Verbalizer's texts; returns Recall@1 by kind of negatives.

    Args:
        texts: folder that `texts.write_texts` wrote.
        controls: measure a second arm, `SHUFFLED`: every user by the text of another; and other orders of candidates.
        about: what else `cell.json` shall hold.
    """
    dataset = load_dataset(data)
    test = stacked_choices(config, dataset)
    judge = load_choice(reasoner)
    written = pl.read_parquet(texts / TEXTS)
    arms = {OWN: _aligned(written, test)}
    if controls:
        arms[SHUFFLED] = _aligned(_exchanged(written, config.seed), test)
    masks = slices_of(config, training_log(dataset), test)
    measured = {name: reasoner_arm(judge, read, test) for name, read in arms.items()}
    frames = [outcomes(name, arm.scores_BN, test, masks) for name, arm in measured.items()]
    costs = {name: arm.cost for name, arm in measured.items()}
    more = {**about, "texts": json.loads((texts / FACTS).read_text())}
    if controls:
        more["orders"] = asdict(_order_spread(judge, arms[OWN], test))
    return _write(pl.concat(frames), costs, more, OWN, config, out)


def evaluate_baselines(
    config: Config, data: Path, sequential: Path, world: Path, out: Path, *, about: Mapping[str, Any]
) -> dict[str, float]:
    """Counts, EASE, Markov, the sequential model, all of them weighed, and the oracle where a world has its truth."""
    dataset = load_dataset(data)
    test = stacked_choices(config, dataset)
    model = SequentialRetriever.load(sequential)
    log = training_log(dataset)
    arms = classical_arms(log, dataset, test, model)
    if len(model.item_ids) <= config.retrieve.max_matrix_items:
        links = fit_links(config, log, model)
        scores_BN = links_alone(config, dataset, links, test.taken, test.candidates)
        arms[LINKS] = Arm(scores_BN, NO_COST)
    masks = slices_of(config, log, test)
    frames = [outcomes(name, arm.scores_BN, test, masks) for name, arm in arms.items()]
    if (world / "truth").exists():
        frames.append(outcomes(ORACLE, oracle_arm(world, test).scores_BN, test, masks))
    costs = {name: arm.cost for name, arm in arms.items()}
    more = {**about, "full_ranking": _full_ranking(model, dataset, test)}
    return _write(pl.concat(frames), costs, more, model.name, config, out)


def stacked_choices(config: Config, dataset: Dataset) -> Choices:
    """The test lists of all kinds of negatives, one below the other."""
    rows = pl.concat([choices(dataset, "test", kind) for kind in config.evaluate.negatives])
    return listed(dataset, rows, histories=[])  # texts were written from them in a stage of their own


def outcomes(arm: str, scores_BN: FloatArray, test: Choices, masks: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """One row a user and kind of negatives, in the columns of `OUTCOMES`."""
    return test.rows.select(
        pl.lit(arm).alias("arm"),
        c.USER_ID,
        c.NEGATIVES,
        pl.Series("recall", recall_at_1(scores_BN, test.truth_B), dtype=pl.Float64),
        pl.Series("ndcg", ndcg(scores_BN, test.truth_B), dtype=pl.Float64),
        pl.Series("mrr", mrr(scores_BN, test.truth_B), dtype=pl.Float64),
        *(pl.Series(name, masks[name], dtype=pl.Boolean) for name in (DISCOVERY, COLD, TAIL)),
    )


def _write(
    frame: pl.DataFrame, costs: Mapping[str, Cost], about: Mapping[str, Any], main: str, config: Config, out: Path
) -> dict[str, float]:
    facts = {**about, "arms": {name: asdict(cost) for name, cost in costs.items()}, "machine": machine()}
    with new_folder(out, kind="cell", config=config.model_dump(mode="json")) as folder:
        frame.select(OUTCOMES.names()).cast(OUTCOMES).write_parquet(folder / OUTCOMES_FILE)
        write_json(folder / CELL, facts)
    means = frame.filter(pl.col("arm") == main).group_by(c.NEGATIVES, maintain_order=True).agg(pl.col("recall").mean())
    return {f"recall_{kind}": recall for kind, recall in means.iter_rows()}


def _aligned(written: pl.DataFrame, test: Choices) -> list[str]:
    """The text of each row's user."""
    texts: list[str] = test.rows.join(written, on=c.USER_ID, how="left", maintain_order="left")[TEXT].to_list()
    return texts


def _exchanged(written: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Each user with the text of another."""
    texts = shuffled(written[TEXT].to_list(), np.random.default_rng([seed, 6]))
    return written.with_columns(pl.Series(TEXT, texts, dtype=pl.String))


def _order_spread(judge: Reasoner, texts: Sequence[str], test: Choices) -> Spread:
    """Over orders of the lists of the first kind of negatives."""
    num = int((test.rows[c.NEGATIVES] == test.rows[c.NEGATIVES][0]).sum())  # a kind's rows stand together
    return order_spread(judge, texts[:num], test.candidates[:num], test.truth_B[:num], ORDERS)


def _full_ranking(model: SequentialRetriever, dataset: Dataset, test: Choices) -> dict[str, float]:
    """HR@10 and NDCG@10 over the catalogue for the users whose true item is new to them; touched items are removed."""
    first = test.rows[c.NEGATIVES][0]
    kept = (test.rows[c.NEGATIVES] == first) & test.rows[c.DISCOVERY]
    rows = test.rows.filter(kept)
    if rows.is_empty():
        return {}
    taken = [items for items, keep in zip(test.taken, kept, strict=True) if keep]
    touched = takes_before(dataset.events.with_columns(pl.lit(True).alias(c.IS_TARGET)), rows)
    ranking = rank_catalogue(model, taken, rows[c.ITEM_ID].to_list(), seen=touched, k=FULL_RANKING_K)
    return {"hit": float(ranking.hit.mean()), "ndcg": float(ranking.ndcg.mean()), "num_users": float(rows.height)}
