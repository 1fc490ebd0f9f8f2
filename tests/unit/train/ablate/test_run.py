"""Filling a real table over a very small world: killed, gone on with, with a cell that fails."""

import json
import signal
import subprocess
import sys
import time

import polars as pl

from raconteur import columns as c
from raconteur.config.ablation import load_ablation
from raconteur.train.ablate.cells import SHUFFLED
from raconteur.train.ablate.plan import describe, plan, select
from raconteur.train.ablate.report import write_report
from raconteur.train.ablate.run import fill

FROZEN = 'verbalizers = ["template", "clean"]\nreasoners = ["frozen"]\n'
ALL = """
verbalizers = ["zero-shot", "action", "rewrite-2"]
reasoners = ["own", "linked"]
[[ablation.variants]]
name = "pointwise"
tune = ["reasoner.loss=pointwise"]
reasoners = ["own"]
"""
DEADLINE_S = 300


def outcomes(cells):
    return {cell.name: pl.read_parquet(cell.stage.folder / "outcomes.parquet") for cell in cells}


def test_fill_killed_in_the_middle_goes_on_and_ends_alike(write_ablation, tmp_path):
    path = write_ablation(FROZEN)
    command = [sys.executable, "-m", "raconteur.cli.main", "ablate", "--config", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + DEADLINE_S
        while not list(tmp_path.glob("runs/tiny/sequential-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    killed = plan(load_ablation(path))
    assert not all(cell.stage.done for cell in killed)
    assert "cached: data, sequential" in describe(killed)
    assert fill(killed).failed == {}
    path.write_text(path.read_text().replace("runs", "whole"))
    whole = plan(load_ablation(path))
    assert fill(whole).failed == {}
    resumed, straight = outcomes(killed), outcomes(whole)
    assert all(resumed[name].equals(straight[name]) for name in straight)


def test_fill_runs_every_kind_of_arm_and_the_report_shows_them(ablation):
    settings = ablation(ALL)
    cells = plan(settings)
    assert fill(cells).failed == {}
    assert all(cell.stage.done for cell in cells)
    text = write_report(settings, cells, failed={}, command="raconteur ablate").read_text()
    for arm in (
        "oracle",
        "EASE .9^k",
        "own + zero-shot",
        "own + action",
        "own + rewrite-2",
        "own + template (pointwise)",
        "linked + action",
        "sequential, EASE, Markov",
    ):
        assert f"| {arm} |" in text
    assert all(f"### tiny: {kind} negatives" in text for kind in ("popularity", "retrieved", "uniform"))
    assert "Not run yet" not in text
    (cell,) = select(cells, ["tiny/0/rewrite-2/own"])
    about = json.loads((cell.stage.folder / "cell.json").read_text())
    assert (about["verbalizer"], about["reasoner"], about["seed"]) == ("rewrite-2", "own", 0)
    names = {step["stage"] for step in about["spent"].values()}
    writers = {"start", "best", "rewrite", "tune-rewrite", "rewrite-2", "tune-rewrite-2", "texts-rewrite-2"}
    assert names == {"data", "sequential", "reasoner", *writers}
    frame = outcomes([cell])[cell.name]
    assert set(frame["arm"]) == {"own text", SHUFFLED}
    assert frame.select("arm", c.USER_ID, c.NEGATIVES).is_unique().all()
    (linked,) = select(cells, ["tiny/0/rewrite-2/linked"])
    behind = {step["stage"] for step in json.loads((linked.stage.folder / "cell.json").read_text())["spent"].values()}
    assert behind == {*names, "linked-rewrite-2"}


def test_fill_of_one_cell_brings_its_stages_alone(ablation, tmp_path):
    cells = plan(ablation(FROZEN))
    fill(select(cells, ["tiny/0/clean/frozen"]))
    made = sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "runs" / "tiny").glob("*-*"))
    assert made == ["data", "reasoner", "sequential", "texts-clean"]


def test_fill_without_time_starts_nothing(ablation):
    cells = plan(ablation(FROZEN))
    assert fill(cells, max_minutes=0.0).left == [cell.name for cell in cells]
    assert not any(cell.stage.done for cell in cells)


def test_fill_failing_cell_is_reported_and_the_others_go_on(write_ablation, tmp_path, capsys):
    (tmp_path / "absent.toml").write_text(
        'name = "absent"\n[data]\nlayout = "movielens"\npath = "nowhere"\ntargets = ["rating"]\n'
    )
    path = write_ablation(FROZEN + 'data = ["absent.toml", "tiny.toml"]\n')
    cells = plan(load_ablation(path))
    outcome = fill(cells)
    assert set(outcome.failed) == {"absent/0/baselines", "absent/0/template/frozen", "absent/0/clean/frozen"}
    assert all(reason.startswith("data: ") and "nowhere" in reason for reason in outcome.failed.values())
    assert {cell.name for cell in cells if cell.stage.done} == {
        "tiny/0/baselines",
        "tiny/0/template/frozen",
        "tiny/0/clean/frozen",
    }
    assert capsys.readouterr().out.count("failed: ") == 1  # a broken stage is tried once
