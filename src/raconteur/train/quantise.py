"""Which build of the student is served: the first, in the configured order, that still gives the original's answers.

The step `quantise`. Every build of `student.builds` is compared with torch FP32 on held-out lists, in agreement of
first choices and in NDCG@10, and the gate of `evaluate.agreement` refuses those that strayed. No time is taken here, so
equal inputs give equal folders; `train.speed` measures the speed of the builds.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Build, Config
from raconteur.data.dataset import load_dataset
from raconteur.data.histories import history_before
from raconteur.errors import TrainingError
from raconteur.evaluate.agreement import Fidelity, fidelity, refusal
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.onnx import MODEL, OnnxReasoner
from raconteur.represent.load import writer_of
from raconteur.represent.tokenizer import FILE
from raconteur.runtime import start_session
from raconteur.train.builds import Feeds, build, export
from raconteur.train.examples import choices
from raconteur.types import Reasoner, Verbalizer

CHECKED = 1024  # lists on which builds are compared
CALIBRATED = 128  # other lists, on which the static build sees its ranges
CALIBRATION_BATCH = 16
BUILDS = "builds.json"  # what was measured, in the served folder
MIB = 2**20


@dataclass(frozen=True)
class Lists:
    """Held-out texts with their candidate lists."""

    texts: list[str]
    candidates: list[list[str]]
    truth_B: np.ndarray

    def __getitem__(self, rows: slice) -> "Lists":
        return Lists(self.texts[rows], self.candidates[rows], self.truth_B[rows])


@dataclass(frozen=True)
class Measured:
    """A build and how near it stays to the original."""

    name: Build
    mib: float
    fidelity: Fidelity
    refused: str | None  # why, or None


def quantise(config: Config, data: Path, student: Path, verbalizer: Path | Verbalizer, out: Path) -> dict[str, float]:
    """Writes the served student; returns sizes in MiB, and agreement and NDCG@10 against torch FP32.

    Raises:
        TrainingError: the gate refuses every build.
    """
    source = ChoiceReasoner.load(student)
    calibration, checked = held_out(config, data, verbalizer)
    with TemporaryDirectory() as room:
        paths = write_builds(source, config.student.builds, calibration, Path(room))
        measured = measure_builds(config, source, paths, checked)
        chosen = first_allowed(measured)
        with new_folder(out, kind="student", build=chosen.name, config=config.model_dump(mode="json")) as folder:
            shutil.copy(paths[chosen.name], folder / MODEL)
            for name in (FILE, "config.json"):
                shutil.copy(student / name, folder / name)
            (folder / BUILDS).write_text(json.dumps([asdict(one) for one in measured], indent=2))
    print(f"serving {chosen.name}: {_told(measured)}", flush=True)
    return _figures(chosen, measured)


def held_out(config: Config, data: Path, verbalizer: Path | Verbalizer) -> tuple[Lists, Lists]:
    """Lists of the validation split to calibrate on, and others to compare on."""
    dataset = load_dataset(data)
    rows = choices(dataset, "validation", config.evaluate.negatives[0])[: CALIBRATED + CHECKED]
    texts = writer_of(verbalizer).write(history_before(dataset.events, rows, config.text.max_events))
    lists = Lists(texts, rows[c.CANDIDATES].to_list(), rows[c.TRUTH].to_numpy().astype(np.int64))
    cut = min(CALIBRATED, len(texts) // 4)
    return lists[:cut], lists[cut:]


def write_builds(source: ChoiceReasoner, names: Sequence[Build], calibration: Lists, folder: Path) -> dict[Build, Path]:
    """Exports the model once and builds each of these from that graph."""
    graph = folder / "graph.onnx"
    export(source.model, graph)
    feeds = _feeds(source, calibration)
    paths: dict[Build, Path] = {name: folder / f"{name}.onnx" for name in names}
    for name, path in paths.items():
        build(name, graph, path, feeds)
    return paths


def measure_builds(config: Config, source: ChoiceReasoner, paths: dict[Build, Path], checked: Lists) -> list[Measured]:
    """Each build on the same lists as the original, in the order given."""
    original_BN = source.score(checked.texts, checked.candidates)
    settings = config.student
    rows = []
    for name, path in paths.items():
        ranker: Reasoner = OnnxReasoner(start_session(path), source.prompts)
        near = fidelity(
            original_BN,
            ranker.score(checked.texts, checked.candidates),
            checked.truth_B,
            num_resamples=config.evaluate.num_bootstrap,
            seed=config.seed,
        )
        refused = refusal(near, min_agreement=settings.min_agreement, max_ndcg_loss=settings.max_ndcg_loss)
        rows.append(Measured(name, path.stat().st_size / MIB, near, refused))
    return rows


def first_allowed(measured: Sequence[Measured]) -> Measured:
    """
    Raises:
        TrainingError: the gate refuses every build.
    """
    chosen = next((one for one in measured if one.refused is None), None)
    if chosen is None:
        raise TrainingError(
            f"no build of the student may be served: {_told(measured)}; put fp32 last in student.builds, or train the "
            "student longer (student.num_steps) or wider (student.width)"
        )
    return chosen


def _feeds(source: ChoiceReasoner, lists: Lists) -> list[Feeds]:
    feeds: list[Feeds] = []
    for start in range(0, len(lists.texts), CALIBRATION_BATCH):
        part = lists[start : start + CALIBRATION_BATCH]
        layout, _ = source.prompts.choices(part.texts, part.candidates)
        feeds.append({"ids": layout.ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN})
    return feeds


def _told(measured: Sequence[Measured]) -> str:
    return "; ".join(f"{one.name} {one.refused or f'{one.fidelity.agreement:.1%} equal'}" for one in measured)


def _figures(chosen: Measured, measured: Sequence[Measured]) -> dict[str, float]:
    near = chosen.fidelity
    served = {"agreement": near.agreement, "ndcg_difference": near.ndcg.value, "ndcg_low": near.ndcg.low}
    sizes = {f"{one.name}_mib": one.mib for one in measured}
    return {
        **served,
        "served_mib": chosen.mib,
        **sizes,
        **{f"{o.name}_agreement": o.fidelity.agreement for o in measured},
    }
