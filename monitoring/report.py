"""The Evidently report of two windows: an HTML page, a run in the workspace that `evidently ui` shows, and the scores.

    evidently ui --workspace <workdir>/monitoring/workspace --port <serve.evidently_port>

Set DO_NOT_TRACK=1 for that command: its UI reports usage to its makers otherwise.
"""

import math
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.decision import ColumnDrift
from monitoring.measures import MEASURES, Measure
from monitoring.windows import Windows

NOTHING_IN_COMMON = 1.0  # score of a column that is filled in one window and empty in the other; above every threshold


@dataclass(frozen=True, slots=True)
class DriftReport:
    columns: tuple[ColumnDrift, ...]
    page: Path | None  # None: no column could be compared
    run_id: str | None  # of the run in the workspace


def write_report(windows: Windows, folder: Path, *, project: str, report_id: str, about: dict[str, str]) -> DriftReport:
    """Measures every column and writes `reports/<report_id>.html` and a run in `workspace/`.

    Args:
        folder: the run's `monitoring/`.
        project: name of the project in the workspace, made when it is new.
        about: facts shown with the run (champion, window).
    """
    filled = [measure for measure in MEASURES if measure.column in windows.reference]
    both = [measure for measure in filled if _has_values(windows, measure) == (True, True)]
    lost = [_lost(measure) for measure in filled if sum(_has_values(windows, measure)) == 1]
    if not both:
        return DriftReport(tuple(lost), None, None)
    os.environ.setdefault("DO_NOT_TRACK", "1")  # read while Evidently is imported
    run = _run(windows, both, about)
    page = folder / "reports" / f"{report_id}.html"
    _save_page(run, page)
    scores = [metric["value"] for metric in run.dict()["metrics"]]
    measured = [_drift(measure, float(score)) for measure, score in zip(both, scores, strict=True)]
    return DriftReport((*measured, *lost), page, _add_to_workspace(run, folder / "workspace", project))


def _run(windows: Windows, measures: list[Measure], about: dict[str, str]) -> Any:  # evidently's Snapshot
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(
        categorical_columns=[measure.column for measure in measures if measure.kind == "category"],
        numerical_columns=[measure.column for measure in measures if measure.kind == "number"],
    )
    names = [measure.column for measure in measures]
    current, reference = (
        Dataset.from_pandas(frame[names], data_definition=definition) for frame in (windows.current, windows.reference)
    )
    metrics = [
        ValueDrift(column=measure.column, method=measure.method, threshold=measure.threshold) for measure in measures
    ]
    return Report(metrics, include_tests=True, metadata=about).run(current, reference)


def _save_page(run: Any, page: Path) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    temporary = page.with_name(f".{page.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        run.save_html(str(temporary))
        temporary.replace(page)
    finally:
        temporary.unlink(missing_ok=True)


def _add_to_workspace(run: Any, folder: Path, project: str) -> str:
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(folder))
    found = [known for known in workspace.search_project(project) if known.name == project]
    home = found[0] if found else workspace.create_project(project)
    return str(workspace.add_run(home.id, run).id)


def _has_values(windows: Windows, measure: Measure) -> tuple[bool, bool]:
    frames: tuple[pd.DataFrame, pd.DataFrame] = (windows.reference, windows.current)
    reference, current = (bool(frame[measure.column].notna().any()) for frame in frames)
    return reference, current


def _drift(measure: Measure, score: float) -> ColumnDrift:
    assert math.isfinite(score), f"{measure.column}: Evidently gave {score}"
    return ColumnDrift(column=measure.column, role=measure.role, score=round(score, 6), threshold=measure.threshold)


def _lost(measure: Measure) -> ColumnDrift:
    return _drift(measure, NOTHING_IN_COMMON)
