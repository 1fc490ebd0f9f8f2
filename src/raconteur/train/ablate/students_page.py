"""The page of students: what distillation keeps, what ranking in two stages gives, and what routing between them saves.

Made from the requests of each data set and seed (`students.Students`); the test users alone are shown.
Axis letters: B requests, N candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from raconteur import columns as c
from raconteur.data.dataset import Dataset, load_dataset
from raconteur.errors import RaconteurError
from raconteur.evaluate.beyond import catalogue_coverage, intra_list_diversity, novelty
from raconteur.evaluate.bootstrap import Interval, difference_interval, mean_interval, relative_interval
from raconteur.evaluate.curve_page import MARKDOWN
from raconteur.evaluate.metrics import hit_at
from raconteur.evaluate.routing import KINDS, MIDDLE, REASONER, REQUESTS, SPLITS, STUDENT, Cost, Requests, read_requests
from raconteur.train.ablate.machine import machine
from raconteur.train.ablate.stages import bring
from raconteur.train.ablate.students import LIGHT, LIGHT_TWIN, Students
from raconteur.train.ablate.students_light import RETRIEVAL, read_answers
from raconteur.train.calibrate import calibrate, draw
from raconteur.train.examples import training_log
from raconteur.types import FloatArray

PAGE = "students.md"
K = 10
TWIN, RETRIEVER = "twin", "retriever"
TITLES = {
    REASONER: "Reasoner (teacher)",
    STUDENT: "student",
    TWIN: "twin, not taught",
    MIDDLE: "middle student",
    LIGHT: "light ranker",
    LIGHT_TWIN: "light ranker, not taught",
    RETRIEVER: "retriever alone",
}
EXPLAINED = """\
The student reads what the Reasoner reads and learned from its distributions over candidates; its twin is trained on the
same lists for as many steps, on the true items alone; the middle one is a larger student. The light ranker learned from
the same lessons and runs no language model: it reads vectors, and what the parts of the retriever say of a candidate.
Milliseconds are CPU time of one request at a time, in one process and thread, and shares are of the Reasoner's in the
same process; those of the light ranker begin where retrieval ends. Test users; intervals are 95 %, by a paired
bootstrap over users.
"""


@dataclass(frozen=True)
class Answered:
    """The test requests of one kind of lists, and the scores of every model on them."""

    requests: Requests
    scores: Mapping[str, FloatArray]
    costs: Mapping[str, Cost]
    teacher_ms: Mapping[str, float]  # of the Reasoner in the process that timed the model
    seed: int

    def ndcg(self, model: str) -> FloatArray:
        return self.requests.ndcg(self.scores[model])

    def recall(self, model: str) -> FloatArray:
        return self.requests.recall(self.scores[model])

    def hit(self, model: str) -> FloatArray:
        """HR@10 [B]; 0 where the true item is not among the candidates."""
        truth_B = self.requests.truth_B
        return np.where(truth_B >= 0, hit_at(self.scores[model], np.maximum(truth_B, 0), k=K), 0.0)


def write_page(chosen: Sequence[Students], folder: Path, *, command: str) -> Path:
    """Makes what is missing, then the page in `folder`."""
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [f"# Students\n\nWritten {written} by `{command}` on {machine()}.\n\n{EXPLAINED.rstrip()}"]
    for students in chosen:
        for stage in students.ends:
            bring(stage, lambda text: print(text, flush=True))
        parts += _section(students, folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text("\n\n".join(parts) + "\n")
    return page


def _section(students: Students, folder: Path) -> list[str]:
    models = students.models
    drawn, served = (answered(students, lists) for lists in KINDS)
    lists = pl.read_parquet(students.requests.folder / REQUESTS).filter(
        (pl.col(c.SPLIT) == SPLITS[1]) & (pl.col("lists") == KINDS[1])
    )
    num = models.config.evaluate.num_candidates
    return [
        f"## {students.name}",
        f"### Choose 1 of {num}, popularity negatives ({len(drawn.requests)} users)",
        choice_table(drawn),
        f"### Two stages: {models.config.retrieve.num_ranked} retrieved, then ranked ({len(served.requests)} users)",
        stages_table(served, lists[c.CANDIDATES].to_list(), load_dataset(models.data.folder)),
        *_routing(students, folder),
    ]


def _routing(students: Students, folder: Path) -> list[str]:
    """The curve of each kind of lists, with a calibration of its own, and a plot beside the page."""
    parts = []
    for lists in KINDS:
        config = students.models.seeded()
        config = config.model_copy(update={"route": config.route.model_copy(update={"lists": lists})})
        place = folder / "routing" / f"{students.name.replace('/', '-')}-{lists}"
        calibrate(config, students.requests.folder, place / "router")
        try:
            draw(config, students.requests.folder, place / "router", place / "curve")
        except RaconteurError as error:
            parts.append(f"### Routing, {lists} lists\n\nNo curve: {error}")
            continue
        page = (place / "curve" / MARKDOWN).read_text().replace("\n#", "\n###").lstrip("#").strip()
        parts.append(f"### {page}")
    return parts


def answered(students: Students, lists: str) -> Answered:
    """
    Args:
        lists: one of `routing.KINDS`.
    """
    requests = read_requests(students.requests.folder).of(split=SPLITS[1], lists=lists)
    twin = read_requests(students.twin_requests.folder).of(split=SPLITS[1], lists=lists)
    assert (requests.request_ids_B == twin.request_ids_B).all(), "twin and student answered different requests"
    order_BN = -np.broadcast_to(np.arange(requests.student_BN.shape[1], dtype=np.float64), requests.student_BN.shape)
    scores = {RETRIEVER: order_BN, REASONER: requests.reasoner_BN, STUDENT: requests.student_BN, TWIN: twin.student_BN}
    if requests.middle_BN is not None:
        scores[MIDDLE] = requests.middle_BN
    costs = {**requests.costs, TWIN: twin.costs[STUDENT]}
    teacher_ms = dict.fromkeys(requests.costs, requests.costs[REASONER].ms)
    teacher_ms[TWIN] = twin.costs[REASONER].ms
    if lists == KINDS[0]:  # the light rankers were asked these alone
        answers = read_answers(students.light_answers.folder, requests.user_ids_B)
        scores |= {
            name: _widened(scores_BN, requests.student_BN.shape[1]) for name, scores_BN in answers.scores.items()
        }
        costs |= {name: answers.costs[name] for name in (*answers.scores, RETRIEVAL)}
        teacher_ms |= dict.fromkeys(answers.scores, answers.costs[REASONER].ms)
    return Answered(requests, scores, costs, teacher_ms, students.models.seed)


def _widened(scores_BN: FloatArray, width: int) -> FloatArray:
    """Filled with NaN, as lists are that are shorter than the longest of all requests."""
    return np.pad(scores_BN, ((0, 0), (0, width - scores_BN.shape[1])), constant_values=np.nan)


def choice_table(drawn: Answered) -> str:
    """Every model's NDCG@10 and Recall@1, its share of the Reasoner's, and its cost; the differences below."""
    rows = []
    for model in (REASONER, MIDDLE, STUDENT, TWIN, LIGHT, LIGHT_TWIN):
        if model in drawn.scores:
            share = relative_interval(drawn.ndcg(model), drawn.ndcg(REASONER), seed=drawn.seed)
            cost = drawn.costs[model]
            cells = [_mean(drawn.ndcg(model), drawn.seed), _mean(drawn.recall(model), drawn.seed)]
            cells += [_percent(share), f"{cost.ms:.2f}", f"{cost.ms / drawn.teacher_ms[model]:.1%}"]
            rows.append([TITLES[model], *cells, f"{cost.tokens:.0f}"])
    head = ["model", "NDCG@10", "Recall@1", "NDCG of the Reasoner's", "ms", "of the Reasoner's", "tokens"]
    compared = ((STUDENT, TWIN), (STUDENT, REASONER), (LIGHT, LIGHT_TWIN), (LIGHT, REASONER))
    retrieval = f"Retrieval, with the sequential state: {drawn.costs[RETRIEVAL].ms:.2f} ms a request."
    return "\n\n".join([_table(head, rows), retrieval, _differences(drawn, compared)])


def stages_table(served: Answered, candidates: Sequence[Sequence[str]], dataset: Dataset) -> str:
    """Full ranking of two stages against the retriever alone, and what the first ten look like."""
    takes = dict(training_log(dataset).targets[c.ITEM_ID].value_counts().iter_rows())
    categories = dict(zip(dataset.items[c.ITEM_ID], dataset.items[c.CATEGORIES].to_list(), strict=True))
    rows = []
    for model in (RETRIEVER, STUDENT, MIDDLE, REASONER):
        if model in served.scores:
            order_BN = np.argsort(-served.scores[model], axis=1, kind="stable")[:, :K]
            shown = [[row[place] for place in order] for row, order in zip(candidates, order_BN, strict=True)]
            cells = [_mean(served.hit(model), served.seed), _mean(served.ndcg(model), served.seed)]
            cells.append(f"{catalogue_coverage(shown, categories, k=K):.3f}")
            cells.append(f"{np.mean(novelty(shown, takes, k=K)):.2f}")
            cells.append(f"{np.mean(intra_list_diversity(shown, categories, k=K)):.3f}")
            rows.append([TITLES[model], *cells])
    head = ["ranking", f"HR@{K}", f"NDCG@{K}", f"coverage@{K}", "novelty, bits", "diversity"]
    compared = ((STUDENT, RETRIEVER), (REASONER, RETRIEVER), (STUDENT, REASONER))
    return "\n\n".join([_table(head, rows), _differences(served, compared)])


def _differences(answered: Answered, compared: Sequence[tuple[str, str]]) -> str:
    rows = []
    for model, base in compared:
        found = difference_interval(answered.ndcg(model), answered.ndcg(base), seed=answered.seed)
        shown = f"{found.value:+.4f}"
        interval = f"{found.low:+.4f} to {found.high:+.4f}"
        rows.append([f"{TITLES[model]} − {TITLES[base]}", f"**{shown}**" if found.excludes_zero else shown, interval])
    return _table([f"NDCG@{K}", "difference", "95 %"], rows)


def _mean(outcomes_B: FloatArray, seed: int) -> str:
    found = mean_interval(outcomes_B, seed=seed)
    return f"{found.value:.4f} ({found.low:.4f}–{found.high:.4f})"


def _percent(relative: Interval) -> str:
    return f"{1 + relative.value:.1%} ({1 + relative.low:.1%}–{1 + relative.high:.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
