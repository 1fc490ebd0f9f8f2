"""Assembles a model version, holds it against the champion on the newest slice, and promotes it if the gate opens."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import Registry, new_folder, verify
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.evaluate.gate import GateDecision, GateInputs, StudentLift, student_lift, write_record
from raconteur.evaluate.metrics import recall_at_1
from raconteur.evaluate.routing import KINDS, read_requests
from raconteur.reason.load import load_student
from raconteur.represent.load import load_verbalizer
from raconteur.retrieve.rerank import FILE as RERANK
from raconteur.train.table import OUTCOMES, SERVED, Choices, test_choices

MODELS = ("retriever", "reasoner", "verbalizer", "student", "router")
REQUESTS = "requests"  # what they answered: the router can be calibrated and drawn anew from it
GATE = "gate.json"


def release(config: Config, data: Path, parts: Mapping[str, Path], registry: Path, *, cause: str) -> dict[str, float]:
    """Writes `<registry>/<version>/` with its gate record; moves the champion's pointer if the gate says so.

    Args:
        parts: folders of `MODELS`, `REQUESTS` (with the weights of retriever and model) and arms (the evaluation).
    """
    models = Registry(registry)
    dataset = load_dataset(data)
    version = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for name in (*MODELS, REQUESTS):
        verify(parts[name])
    inputs = _gate_inputs(config, dataset, parts, models, version)
    newest = dataset.events[c.EVENT_TIME].dt.to_string("iso:strict").max()
    about = {
        "kind": "version",
        "version": version,
        "cause": cause,
        "catalogue_version": dataset.manifest["catalogue_version"],
        "newest_event": newest,
        "config": config.model_dump(mode="json"),
    }
    with new_folder(models.folder(version), **about) as folder:
        for name in (*MODELS, REQUESTS):
            shutil.copytree(parts[name], folder / name)
        shutil.copy(parts[REQUESTS] / RERANK, folder / RERANK)
        shutil.copy(data / "items.parquet", folder / "items.parquet")
        decision = write_record(folder / GATE, inputs)
    if decision.promote:
        models.promote(version, cause=cause)
    print(f"version {version}: {'promoted' if decision.promote else 'not promoted'}; {decision.reason}", flush=True)
    return _figures(decision)


def _gate_inputs(
    config: Config, dataset: Dataset, parts: Mapping[str, Path], models: Registry, version: str
) -> GateInputs:
    """Outcomes of challenger, champion and popularity on the newest share of the test targets."""
    outcomes = pl.read_parquet(parts["arms"] / OUTCOMES)
    times = outcomes[c.EVENT_TIME].to_numpy()
    newest = times >= np.quantile(times.astype("int64"), 1 - config.monitor.newest_share).astype(times.dtype)
    champion = models.champion()
    served = _champion_outcomes(config, dataset, models.champion_folder(), newest) if champion else None
    return GateInputs(
        challenger=version,
        champion=champion["version"] if champion else None,
        challenger_outcomes=tuple(outcomes[SERVED].to_numpy()[newest].tolist()),
        champion_outcomes=served,
        popularity_outcomes=tuple(outcomes["popularity"].to_numpy()[newest].tolist()),
        max_loss=config.monitor.max_loss,
        student=_student_lift(config, parts[REQUESTS]),
        num_resamples=config.evaluate.num_bootstrap,
        seed=config.seed,
    )


def _student_lift(config: Config, requests: Path) -> StudentLift:
    """What the challenger's student keeps of its Reasoner, on the fixed lists of all test users."""
    rows = read_requests(requests).of(split="test", lists=KINDS[0])
    student_B, reasoner_B = rows.ndcg(rows.student_BN), rows.ndcg(rows.reasoner_BN)
    chance_B = rows.ndcg(np.zeros_like(rows.student_BN))  # all alike: the mean over orders
    return student_lift(
        student_B - chance_B,
        reasoner_B - chance_B,
        min_share=config.monitor.min_student_share,
        num_resamples=config.evaluate.num_bootstrap,
        seed=config.seed,
    )


def _champion_outcomes(config: Config, dataset: Dataset, folder: Path, newest: np.ndarray) -> tuple[float, ...]:
    """Recall@1 of the champion's student on its own Verbalizer's text; items that it does not know rank last."""
    test: Choices = test_choices(config, dataset)
    rows = np.flatnonzero(newest)
    texts = load_verbalizer(folder / "verbalizer").write([test.histories[row] for row in rows])
    scores_BN = load_student(folder / "student").score(texts, [test.candidates[row] for row in rows])
    return tuple(recall_at_1(scores_BN, test.truth_B[rows]).tolist())


def _figures(decision: GateDecision) -> dict[str, float]:
    return {
        "promoted": float(decision.promote),
        "challenger_recall": decision.challenger_recall,
        "rival_recall": decision.rival_recall,
        "difference": decision.difference,
        "difference_low": decision.difference_low,
        "difference_high": decision.difference_high,
    }
