import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently.ui.workspace import Workspace

from monitoring.report import write_report
from monitoring.windows import Windows, event_windows, stretch


def frame(minutes: list[float], devices: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"log_value": minutes, "log_device": devices})


def test_write_report_distances_agree_with_hand_worked_ones(tmp_path: Path):
    # values 0 and 2 evenly: mean 1, standard deviation 1; shifted by 3 the distance is 3 / 1
    reference = frame([0.0, 2.0] * 300, ["tv"] * 300 + ["phone"] * 300)
    current = frame([3.0, 5.0] * 300, ["tv"] * 600)
    report = write_report(Windows(reference, current), tmp_path, project="demo", report_id="one", about={})
    scores = {column.column: column.score for column in report.columns}
    assert scores["log_value"] == pytest.approx(3.0)
    # shares (1/2, 1/2) against (1, 0); the middle is (3/4, 1/4)
    divergence = 0.5 * (0.5 * np.log(2 / 3) + 0.5 * np.log(2)) + 0.5 * np.log(4 / 3)
    assert scores["log_device"] == pytest.approx(np.sqrt(divergence), abs=1e-6)


def test_write_report_page_and_workspace_hold_the_run(tmp_path: Path, prepared_data: Path, arrived):
    when = stretch(prepared_data, arrived("taste"), cutoff=None)
    windows = event_windows(prepared_data, arrived("taste"), when, rows=800)
    about = {"champion": "v1"}
    first = write_report(windows, tmp_path, project="demo", report_id="one", about=about)
    second = write_report(windows, tmp_path, project="demo", report_id="two", about=about)
    assert first.columns == second.columns
    page = first.page.read_text()
    assert "take_taste_match" in page
    assert "<b>war</b>" not in page
    workspace = Workspace.create(str(tmp_path / "workspace"))
    (project,) = workspace.list_projects()
    assert project.name == "demo"
    assert {str(run) for run in workspace.list_runs(project.id)} == {first.run_id, second.run_id}
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["one.html", "two.html"]
    json.dumps([column.model_dump() for column in first.columns])


def test_write_report_column_that_went_silent_is_fully_drifted(tmp_path: Path):
    silent = frame([np.nan] * 600, ["tv"] * 600)
    windows = Windows(frame([1.0, 2.0] * 300, ["tv"] * 600), silent)
    report = write_report(windows, tmp_path, project="demo", report_id="one", about={})
    scores = {column.column: column.score for column in report.columns}
    assert scores == {"log_value": 1.0, "log_device": 0.0}


def test_write_report_nothing_to_compare_writes_nothing(tmp_path: Path):
    report = write_report(Windows(pd.DataFrame(), pd.DataFrame()), tmp_path, project="demo", report_id="one", about={})
    assert (report.columns, report.page, report.run_id) == ((), None, None)
    assert list(tmp_path.iterdir()) == []
