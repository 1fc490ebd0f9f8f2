"""Measures every arm on the same fixed candidate lists of the test split.

Classical arms are fitted on the training log, exactly what the language models were trained on; at test all of them
see the same history. The oracle knows the true utilities of the embedded world and bounds what any arm can reach.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.artifacts import new_folder, write_json
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.data.histories import history_before
from raconteur.data.takes import takes_before
from raconteur.errors import TrainingError
from raconteur.evaluate.arms import NO_COST, ORACLE, Cost, arm_rows, difference_metrics
from raconteur.evaluate.choice import ALL, DISCOVERY, head_items, score_candidates, slice_masks
from raconteur.evaluate.inputs import ROUTING
from raconteur.evaluate.metrics import recall_at_1
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.linked import LinkedReasoner
from raconteur.reason.onnx import OnnxReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.represent.template import TemplateVerbalizer
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.popularity import Popularity, RecentPopularity
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.calibrate import draw
from raconteur.train.examples import TrainingLog, choices, training_log
from raconteur.types import FloatArray, History, Retriever

ARMS, OUTCOMES, METRICS = "arms.parquet", "outcomes.parquet", "metrics.json"
TEMPLATE, CLEANED, REWRITE = "frozen + template", "frozen + clean", "frozen + rewrite"
TUNED = "tuned + rewrite"
SERVED = "student + rewrite"  # the arm that answers most requests, and that the gate compares
COMPARED = ((REWRITE, TEMPLATE), (REWRITE, CLEANED), (TUNED, TEMPLATE), (TUNED, REWRITE), (SERVED, TUNED))


@dataclass(frozen=True)
class Choices:
    """The test: one row a user."""

    rows: pl.DataFrame
    candidates: list[list[str]]
    truth_B: np.ndarray
    taken: list[list[str]]
    histories: list[History]


@dataclass(frozen=True)
class Arm:
    """An arm's scores on the test lists and what they cost."""

    scores_BN: FloatArray
    cost: Cost


def evaluate_arms(
    config: Config,
    data: Path,
    retriever: Path,
    frozen: Path,
    tuned: Path,
    verbalizer: Path,
    student: Path,
    out: Path,
    *,
    requests: Path,
    router: Path,
) -> dict[str, float]:
    """Writes `arms.parquet`, `outcomes.parquet` (Recall@1 by user and arm), `metrics.json`, and `routing/`, the curve.

    Args:
        requests: what student and Reasoner answered; the curve is drawn on its test users.
        router: calibrated on its validation users. One without a calibration has no curve, and there is no `routing/`.
    """
    dataset = load_dataset(data)
    test = test_choices(config, dataset)
    log = training_log(dataset)
    arms = classical_arms(log, dataset, test, SequentialRetriever.load(retriever))
    world = Path(config.data.path) if config.data.path else config.workdir / "world"
    if config.data.layout == "world" and (world / "truth").exists():
        arms[ORACLE] = oracle_arm(world, test)
    arms |= language_arms(config, test, frozen=frozen, tuned=tuned, verbalizer=verbalizer, student=student)
    outcomes = {name: recall_at_1(arm.scores_BN, test.truth_B) for name, arm in arms.items()}
    masks = slices_of(config, log, test)
    settings = {"num_resamples": config.evaluate.num_bootstrap, "seed": config.seed}
    table = pl.concat(
        [arm_rows(name, arm.scores_BN, test.truth_B, masks, cost=arm.cost, **settings) for name, arm in arms.items()]
    )
    headline = masks[DISCOVERY] if masks[DISCOVERY].any() else masks[ALL]
    metrics = {
        "num_test_users": float(test.rows.height),
        "template_discovery_recall": float(outcomes[TEMPLATE][headline].mean()),
        "rewrite_discovery_recall": float(outcomes[REWRITE][headline].mean()),
        "served_discovery_recall": float(outcomes[SERVED][headline].mean()),
        "served_recall_at_1": float(outcomes[SERVED].mean()),
    }
    with new_folder(out, kind="evaluation", config=config.model_dump(mode="json")) as folder:
        table.write_parquet(folder / ARMS)
        per_user = test.rows.select(c.USER_ID, c.EVENT_TIME, c.DISCOVERY)
        per_user.with_columns(**outcomes).write_parquet(folder / OUTCOMES)
        write_json(folder / METRICS, metrics | _differences(outcomes, masks, config))
        curves = _curves({"sequential": retriever, "reasoner": frozen, "verbalizer": verbalizer, "tuned": tuned})
        (folder / "curves.json").write_text(json.dumps(curves))
        try:
            draw(config, requests, router, folder / ROUTING)
        except TrainingError as error:
            print(f"no routing curve: {error}", flush=True)
    return metrics


def test_choices(config: Config, dataset: Dataset) -> Choices:
    """The test rows with what each user did before the target."""
    rows = choices(dataset, "test", config.evaluate.negatives[0])
    return listed(dataset, rows, history_before(dataset.events, rows, config.text.max_events))


def listed(dataset: Dataset, rows: pl.DataFrame, histories: list[History]) -> Choices:
    """The choices that rows of `examples.choices` ask for."""
    return Choices(
        rows=rows,
        candidates=rows[c.CANDIDATES].to_list(),
        truth_B=rows[c.TRUTH].to_numpy().astype(np.int64),
        taken=takes_before(dataset.events, rows),
        histories=histories,
    )


def classical_arms(
    log: TrainingLog, dataset: Dataset, test: Choices, sequential: SequentialRetriever
) -> dict[str, Arm]:
    """Counts, EASE, Markov, and the sequential model with and without the negatives' popularity taken out."""
    item_ids = dataset.items[c.ITEM_ID].to_list()
    fitted: list[tuple[str, Callable[[], Retriever]]] = [
        ("popularity", lambda: Popularity.fit(log.sequences, item_ids)),
        ("recent popularity", lambda: RecentPopularity.fit(log.sequences, item_ids, times=log.sequence_times)),
        ("EASE .9^k", lambda: Ease.fit(log.sequences, item_ids)),
        ("Markov", lambda: Markov.fit(log.sequences, item_ids)),
        ("Markov sqrt pop", lambda: Markov.fit(log.sequences, item_ids, discount_popular=True)),
        ("sequential", lambda: sequential),
    ]
    arms = {name: _retriever_arm(fit(), test) for name, fit in fitted}
    counts = _counts(log)
    popularity_BN = np.array([[np.log(counts.get(item, 0) + 1.0) for item in row] for row in test.candidates])
    plain = arms["sequential"]
    arms["sequential - log pop"] = Arm(plain.scores_BN - popularity_BN, plain.cost)
    return arms


def language_arms(
    config: Config, test: Choices, *, frozen: Path, tuned: Path, verbalizer: Path, student: Path
) -> dict[str, Arm]:
    """Both Reasoners and the student on the texts of each Verbalizer."""
    judge, writer = ChoiceReasoner.load(frozen), RewriteVerbalizer.load(verbalizer)
    text = config.text
    template = TemplateVerbalizer(
        judge.prompts.tokenizer, budget_tokens=text.history_tokens, max_events=text.max_events
    )
    texts = {
        "template": template.write(test.histories),
        "clean": StyleVerbalizer(CLEAN, writer.facts, max_events=text.max_events).write(test.histories),
        "rewrite": writer.write(test.histories),
    }
    written = _mean_tokens(judge.prompts, texts["rewrite"])
    arms = {f"frozen + {name}": reasoner_arm(judge, text, test) for name, text in texts.items()}
    arms[TUNED] = reasoner_arm(ChoiceReasoner.load(tuned), texts["rewrite"], test)
    arms[SERVED] = reasoner_arm(OnnxReasoner.load(student), texts["rewrite"], test)
    return {
        name: Arm(arm.scores_BN, replace(arm.cost, tokens_out=written if "rewrite" in name else 0.0))
        for name, arm in arms.items()
    }


def _retriever_arm(retriever: Retriever, test: Choices) -> Arm:
    began = time.process_time()
    scores_BN = score_candidates(retriever, test.taken, test.candidates)
    return Arm(scores_BN, Cost(ms_per_user=_ms_per_user(began, test)))


def reasoner_arm(reasoner: ChoiceReasoner | LinkedReasoner | OnnxReasoner, texts: Sequence[str], test: Choices) -> Arm:
    """Scores on these texts, one a row of the test."""
    began = time.process_time()
    scores_BN = reasoner.score(texts, test.candidates)
    spent_ms = _ms_per_user(began, test)
    layout, _ = reasoner.prompts.choices(texts, test.candidates)
    read = float(layout.places_BN[:, -1].mean()) + 2  # up to the last candidate, and the cue to answer
    return Arm(scores_BN, Cost(tokens_in=read, ms_per_user=spent_ms))


def oracle_arm(world: Path, test: Choices) -> Arm:
    """True utilities of the embedded world."""
    from raconteur.data.world.oracle import load_oracle

    last = [taken[-1] if taken else None for taken in test.taken]
    users, times = test.rows[c.USER_ID].to_list(), test.rows[c.EVENT_TIME].to_list()
    return Arm(load_oracle(world).score(users, times, test.candidates, last), NO_COST)


def slices_of(config: Config, log: TrainingLog, test: Choices) -> dict[str, np.ndarray]:
    """Which rows of the test belong to each slice."""
    return slice_masks(
        test.rows[c.ITEM_ID].to_list(),
        discovery=test.rows[c.DISCOVERY].to_numpy(),
        num_targets=test.rows["num_targets"].to_numpy(),
        head=head_items(_counts(log), share=config.evaluate.tail_share),
        cold_targets=config.evaluate.cold_targets,
    )


def _differences(
    outcomes: Mapping[str, FloatArray], masks: Mapping[str, np.ndarray], config: Config
) -> dict[str, float]:
    """Paired differences that the report shows: what each text gains, what tuning adds, what the student loses."""
    differences: dict[str, float] = {}
    for arm, base in COMPARED:
        differences |= difference_metrics(
            arm, base, outcomes, masks, num_resamples=config.evaluate.num_bootstrap, seed=config.seed
        )
    return differences


def _counts(log: TrainingLog) -> dict[str, int]:
    return dict(log.targets[c.ITEM_ID].value_counts().iter_rows())


def _mean_tokens(prompts: Prompts, texts: Sequence[str]) -> float:
    return float(np.mean([len(ids) for ids in prompts.encode_texts(texts)]))


def _ms_per_user(began: float, test: Choices) -> float:
    """CPU milliseconds, so that threads and neighbours do not flatter or hurt an arm."""
    return 1000 * (time.process_time() - began) / max(1, test.rows.height)


def _curves(folders: Mapping[str, Path]) -> dict[str, list[float]]:
    """Training curves of all models, named `model figure`."""
    return {
        f"{name} {figure}": values
        for name, folder in folders.items()
        for figure, values in json.loads((folder / "curves.json").read_text()).items()
    }
