import base64
import html
import json
import re

import numpy as np
import polars as pl
import pytest

from raconteur.artifacts import verify, write_json
from raconteur.config.schema import Config
from raconteur.errors import ArtifactError, DataError
from raconteur.evaluate.arms import SCHEMA, Cost, arm_rows, difference_metrics
from raconteur.evaluate.figures import BAR, BEST, FAINT
from raconteur.evaluate.gate import GateInputs, write_record
from raconteur.evaluate.inputs import ReportInputs
from raconteur.evaluate.report import write_report

EVIL = "<script>alert(1)</script>"
MASKS = {"all": np.ones(6, dtype=bool), "discovery": np.array([True] * 4 + [False] * 2)}
OUTCOMES = {"rewrite": np.array([1.0, 1, 1, 0, 1, 0]), "template": np.array([1.0, 0, 0, 0, 1, 0])}


@pytest.fixture
def evaluation(tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    truth = np.zeros(6, dtype=int)
    tables = [
        arm_rows(arm, np.stack([outcomes, np.full(6, 0.5)], axis=1), truth, MASKS, cost=Cost(90.0, 30.0, 4.25))
        for arm, outcomes in {**OUTCOMES, EVIL: OUTCOMES["template"]}.items()
    ]
    pl.concat(tables).write_parquet(folder / "arms.parquet")
    write_json(
        folder / "metrics.json", difference_metrics("rewrite", "template", OUTCOMES, MASKS) | {"agreement": 0.91}
    )
    return folder


@pytest.fixture
def inputs(evaluation, tmp_path):
    write_json(tmp_path / "steps.json", [{"step": "prepare", "seconds": 61.5, "metrics": {"rows": 10}}])
    write_json(tmp_path / "routes.json", {"student": 90, "reasoner": 10})
    (evaluation / "routing").mkdir()
    table = "| chooses by | APGR |\n| --- | ---: |\n| router | 0.71 |\n"
    (evaluation / "routing" / "curve.md").write_text(f"# Routing\n\n{table}")
    (evaluation / "routing" / "curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><title>é</title></svg>')
    write_json(evaluation / "routing" / "curve.json", {"apgr": 0.71})
    write_json(tmp_path / "curves.json", {"GRPO reward": [0.1, None, 0.4]})
    gate = GateInputs(
        challenger="v2",
        champion="v1",
        challenger_outcomes=(1.0, 1.0),
        champion_outcomes=(0.0, 0.0),
        popularity_outcomes=(0.0, 0.0),
        max_loss=0.0,
    )
    write_record(tmp_path / "gate.json", gate)
    files = {name: tmp_path / f"{name}.json" for name in ("steps", "routes", "curves", "gate")}
    return ReportInputs(f"run {EVIL}", evaluation, **files, config=Config())


def _figures(page):
    return [json.loads(html.unescape(text)) for text in re.findall(r'data-figure="([^"]*)"', page)]


def _visible(page):
    """The page without its scripts and style, where plotly.js has any word that one looks for."""
    return re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.S)


def test_report_page_shows_every_section(inputs, tmp_path):
    page = _visible(write_report(inputs, tmp_path / "report").read_text())
    assert "Left out" not in page
    for text in ("Discovery", "rewrite − template", "prepare", "agreement", "num_candidates", "lower end is above"):
        assert text in page


def test_report_plots_hold_the_tables_numbers(inputs, tmp_path):
    figures = _figures(write_report(inputs, tmp_path / "report").read_text())
    recall = figures[0]["data"][0]
    assert recall["y"] == ["rewrite", "template", html.escape(EVIL)]
    assert recall["x"] == pytest.approx([4 / 6, 2 / 6, 2 / 6])
    low = np.array(recall["x"]) - np.array(recall["error_x"]["arrayminus"])
    arms = pl.read_parquet(inputs.evaluation / "arms.parquet").filter(pl.col("slice") == "all")
    np.testing.assert_allclose(low, arms["recall_low"].to_numpy())
    kinds = [figure["layout"].get("xaxis", {}).get("title", {}).get("text") for figure in figures]
    assert kinds == [
        *["Recall@1"] * 2,
        "difference in Recall@1",
        "milliseconds an answer",
        "share of answers",
        "seconds",
        "logged point",
    ]
    assert figures[4]["data"][0]["x"] == [0.9, 0.1]
    assert figures[6]["data"][0]["y"] == [0.1, None, 0.4]


def test_report_page_shows_the_routing_curve(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report").read_text()
    (image,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(image).decode() == (inputs.evaluation / "routing" / "curve.svg").read_text()
    assert "<td>apgr</td><td>0.71</td>" in page


def test_report_damaged_routing_curve_is_refused(inputs, tmp_path):
    (inputs.evaluation / "routing" / "curve.svg").unlink()
    with pytest.raises(DataError, match="holds no routing curve"):
        write_report(inputs, tmp_path / "report")


def test_report_text_of_data_is_escaped(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report").read_text()
    assert EVIL not in page
    assert html.escape(EVIL) in page
    assert EVIL not in (tmp_path / "report" / "report.md").read_text()


def test_report_page_loads_nothing_from_outside(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r'<(script|img|iframe)[^>]+src="(?!data:)|<link', _visible(page))
    assert page.count("<script>") == 2


def test_report_markdown_holds_the_numbers(inputs, tmp_path):
    write_report(inputs, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert re.search(r"\| rewrite \| 0\.667 \| [\d.]+ – [\d.]+ \| ", text)
    assert "| rewrite − template | discovery | +0.500 |" in text
    assert "| student | 90 |" in text
    assert "## Routing between student and Reasoner\n\n| chooses by |" in text  # the curve's own title is left out
    assert "Promoted: v2 against v1 over 2 users." in text
    assert "Left out" not in text


def test_report_missing_inputs_leave_a_line(evaluation, tmp_path):
    write_json(evaluation / "metrics.json", {})
    page = write_report(
        ReportInputs("bare", evaluation, steps=tmp_path / "absent.json"), tmp_path / "report"
    ).read_text()
    text = (tmp_path / "report" / "report.md").read_text()
    assert _visible(page).count("Left out") == 6
    assert text.count("Left out") == 5  # the terminal has no curves
    assert "The config was not given" in page


def test_report_oracle_is_a_bound_and_never_the_best_arm(evaluation, tmp_path):
    arms = pl.read_parquet(evaluation / "arms.parquet")
    oracle = arm_rows("oracle", np.tile([1.0, 0.0], (6, 1)), np.zeros(6, dtype=int), MASKS)
    pl.concat([arms, oracle]).write_parquet(evaluation / "arms.parquet")
    page = write_report(ReportInputs("run", evaluation), tmp_path / "report").read_text()
    assert re.search(r"Best arm, discovery</span><b>rewrite</b>", page)
    colours = _figures(page)[0]["data"][0]["marker"]["color"]
    assert colours == [BEST, BAR, BAR, FAINT]


def test_report_empty_table_of_arms_says_so(evaluation, tmp_path):
    pl.DataFrame(schema=SCHEMA).write_parquet(evaluation / "arms.parquet")
    page = write_report(ReportInputs("empty", evaluation), tmp_path / "report").read_text()
    assert "nothing was evaluated" in _visible(page)


def test_report_folder_is_a_finished_artefact_and_can_be_replaced(inputs, tmp_path):
    write_report(inputs, tmp_path / "report")
    write_report(inputs, tmp_path / "report")
    assert set(verify(tmp_path / "report")["files"]) == {"index.html", "report.md"}


def test_report_without_metrics_says_what_to_run(evaluation, tmp_path):
    (evaluation / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"no metrics\.json; run `raconteur evaluate`"):
        write_report(ReportInputs("run", evaluation), tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("steps", '{"step": 1}'),
        ("routes", '{"student": "many"}'),
        ("curves", "["),
        ("steps", '[{"step": "a", "seconds": -1}]'),
    ],
)
def test_report_malformed_input_is_refused(inputs, tmp_path, name, content):
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(DataError, match=f"{name}.json is not what a report reads"):
        write_report(inputs, tmp_path / "report")


def test_report_malformed_gate_record_is_refused(inputs, tmp_path):
    (tmp_path / "gate.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is no gate record"):
        write_report(inputs, tmp_path / "report")
