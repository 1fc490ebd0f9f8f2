"""The report of hand-made cells: four users, two seeds, figures worked out by hand.

Recall@1 of the users a, b, c, d; b and c choose items that are new to them.

    frozen + template     seed 0: 1 0 0 0   seed 1: 1 1 0 0   mean 1 .5  0 0, together .375
    frozen + rewrite      seed 0: 1 1 0 0   seed 1: 1 1 1 0   mean 1  1 .5 0, together .625
    popularity            both  : 0 0 0 1                                     together .25
    sequential            both  : 0 1 0 1                                     together .5
    sequential - log pop  both  : 0 0 1 1                                     together .5
"""

import json
import re

import numpy as np
import polars as pl
import pytest

from raconteur.artifacts import new_folder
from raconteur.evaluate.bootstrap import difference_interval
from raconteur.evaluate.choice import ALL, COLD, DISCOVERY
from raconteur.evaluate.habits import DEFINITIONS
from raconteur.train.ablate.cells import OUTCOMES, SHUFFLED
from raconteur.train.ablate.plan import plan
from raconteur.train.ablate.report import write_report
from raconteur.train.ablate.results import best_baseline, damaged, gather, paired, table

TEMPLATE, REWRITE = "frozen + template", "frozen + rewrite"
SEEDS = 'seeds = [0, 1]\nnegatives = ["popularity"]\n'
CELLS = SEEDS + 'verbalizers = ["template", "rewrite"]\nreasoners = ["frozen", "own"]\n'
HITS = {
    "template": ([1, 0, 0, 0], [1, 1, 0, 0]),
    "rewrite": ([1, 1, 0, 0], [1, 1, 1, 0]),
    "rewrite-2": ([1, 1, 0, 0], [1, 1, 1, 0]),
    SHUFFLED: ([0, 0, 0, 0], [1, 0, 0, 0]),
}
BASELINES = {
    "popularity": [0, 0, 0, 1],
    "sequential": [0, 1, 0, 1],
    "sequential - log pop": [0, 0, 1, 1],
    "oracle": [1, 1, 1, 1],
}
COST = {"tokens_in": 40.0, "tokens_out": None, "ms_per_user": 2.0}
TEXTS = {
    "tokens": 21.0,
    "ms_per_user": 3.0,
    "faithful": {
        "compression": 0.42,
        "num_statements": 200.0,
        "share_false": 0.005,
        "share_unparsed": 0.0,
        "share_raw_ids": 0.0,
        "share_contexts_kept": 0.25,
    },
    "habits": dict.fromkeys(DEFINITIONS, 0.5),
    "examples": [],
}


def took(stage, seconds, *, resumed=False):
    return {"stage": stage, "seconds": seconds, "cpu_seconds": seconds / 2, "resumed": resumed}


def outcomes(arm, hits):
    users = {"arm": arm, "user_id": list("abcd"), "negatives": "popularity", "recall": hits, "ndcg": hits, "mrr": hits}
    slices = {"discovery": [False, True, True, False], "cold": [False] * 4, "long_tail": [True] * 4}
    return pl.DataFrame({**users, **slices}).cast(OUTCOMES)


def write_cell(cell, frames, **facts):
    spent = {"data-0": took("data", 1.0), f"sequential-{cell.seed}": took("sequential", 2.0)}
    about = {"machine": "a small machine", "spent": spent, **facts}
    with new_folder(cell.stage.folder, kind="cell", **took("cell", 4.0)) as folder:
        pl.concat(frames).write_parquet(folder / "outcomes.parquet")
        (folder / "cell.json").write_text(json.dumps(about))


def write_text_cell(cell, *, resumed=False):
    frames = [outcomes("own text", HITS[cell.verbalizer][cell.seed]), outcomes(SHUFFLED, HITS[SHUFFLED][cell.seed])]
    spent = {"data-0": took("data", 1.0), f"reasoner-{cell.seed}": took("reasoner", 10.0, resumed=resumed)}
    arms = {"own text": COST, SHUFFLED: COST}
    write_cell(cell, frames, texts=TEXTS, arms=arms, spent=spent, orders={"mean": 0.4, "lowest": 0.25, "highest": 0.5})


def write_baselines(cell):
    frames = [outcomes(arm, hits) for arm, hits in BASELINES.items()]
    arms = {arm: {"tokens_in": None, "tokens_out": None, "ms_per_user": 1.0} for arm in BASELINES}
    write_cell(cell, frames, arms=arms, full_ranking={"hit": 0.3 + 0.1 * cell.seed, "ndcg": 0.2, "num_users": 2.0})


@pytest.fixture
def cells(ablation):
    """The cells of the ablation; those with the frozen Reasoner and the baselines are done."""
    planned = plan(ablation(CELLS))
    for cell in planned:
        if cell.reasoner == "frozen":
            write_text_cell(cell)
        elif not cell.verbalizer:
            write_baselines(cell)
    return planned


@pytest.fixture
def results(cells):
    (found,) = gather(cells)
    return found


@pytest.mark.parametrize("name", ["cell.json", "outcomes.parquet"])
def test_report_of_a_damaged_cell_names_it_and_has_the_others(ablation, cells, name):
    broken = next(cell for cell in cells if cell.verbalizer == "rewrite" and cell.stage.done)
    (broken.stage.folder / name).write_bytes(b"{")
    found = damaged(cells)
    assert list(found) == [broken.name]
    page = write_report(ablation(CELLS), cells, failed=found, command="raconteur ablate").read_text()
    assert f"{name} does not match its checksum" in page
    assert f"delete {broken.stage.folder} and run again" in page
    assert "| frozen + template |" in page


def test_table_means_over_seeds_then_users(results):
    rows = {row.arm: row for row in table(results, "popularity")}
    template = rows[TEMPLATE]
    assert (template.num_users, template.num_seeds) == (4, 2)
    assert template.recall.value == 0.375
    assert template.spread == (0.25, 0.5)
    assert template.slices == {"discovery": 0.25, "cold": None, "long_tail": 0.375}
    assert rows[REWRITE].slices["discovery"] == 0.75
    assert rows["popularity"].recall.value == 0.25


def test_table_costs_add_up_all_stages_behind_an_arm(results):
    cost = {row.arm: row.cost for row in table(results, "popularity")}
    assert cost[TEMPLATE] == {"tokens_in": 40.0, "tokens_out": 0.0, "ms": 5.0, "seconds": 15.0, "resumed": False}
    assert cost[REWRITE]["tokens_out"] == 21.0
    assert cost["sequential"]["seconds"] == 3.0
    assert cost["popularity"]["seconds"] == 1.0


def test_paired_difference_is_of_users_averaged_over_seeds(results):
    all_users = paired(results, REWRITE, TEMPLATE, "popularity", ALL)
    by_hand = difference_interval(np.array([1, 1, 0.5, 0]), np.array([1, 0.5, 0, 0]), num_resamples=20)
    assert all_users.difference == by_hand
    assert all_users.difference.value == 0.25
    assert all_users.relative.value == pytest.approx(2 / 3)
    discovery = paired(results, REWRITE, TEMPLATE, "popularity", DISCOVERY)
    assert (discovery.difference.value, discovery.relative.value) == (0.5, 2.0)


def test_paired_of_arms_with_different_seeds_uses_the_seeds_of_both(ablation):
    planned = plan(ablation(CELLS))
    for cell in planned:
        if cell.reasoner == "frozen" and not (cell.verbalizer == "rewrite" and cell.seed == 1):
            write_text_cell(cell)
    (results,) = gather(planned)
    assert paired(results, REWRITE, TEMPLATE, "popularity", ALL).difference.value == 0.25  # seed 0: .5 - .25


def test_paired_without_users_or_arm_is_none(results):
    assert paired(results, REWRITE, TEMPLATE, "popularity", COLD) is None
    assert paired(results, "own + rewrite", TEMPLATE, "popularity", ALL) is None


def test_best_baseline_is_the_best_of_the_slice_and_never_the_oracle(results):
    assert results.baselines == ["popularity", "sequential", "sequential - log pop"]
    assert best_baseline(results, "popularity", ALL) == "sequential"
    assert best_baseline(results, "popularity", DISCOVERY) == "sequential"


def test_report_shows_table_differences_controls_texts_and_what_is_left(ablation, cells, tmp_path):
    failed = {"tiny/0/rewrite/own": "tune-rewrite: the loss | is nan"}
    page = write_report(ablation(CELLS), cells, failed=failed, command="raconteur ablate --config x.toml")
    text = page.read_text()
    lines = text.splitlines()
    assert "by `raconteur ablate --config x.toml`" in text
    assert "Run on: a small machine." in text
    assert "4 users; discovery 2, cold 0, long tail 4." in lines
    assert any(line.startswith("| frozen + template | 0.375 (") and "[0.250–0.500]" in line for line in lines)
    gain = re.compile(r"\| frozen \+ rewrite − frozen \+ template \| all \| .*\+0\.250.*\| \+66\.7% \|")
    assert any(gain.match(line) for line in lines)
    assert "| frozen + rewrite | 0.625 | 0.125 | 0.250–0.500 |" in lines  # text of another user: (0 + .25) / 2
    assert "HR@10 0.350, NDCG@10 0.200 (mean of 2 seeds)" in text
    assert "| rewrite | 21.0 | 0.42 | 200 | 0.50% | 0.00% | 0.00% | 25.00% | 3.0 |" in lines
    assert "| reasoner | 2 | 20 | 10 |" in lines
    assert lines[lines.index("## Not run yet") + 2 :][:2] == [
        "- tiny/0: template/own, rewrite/own",
        "- tiny/1: template/own, rewrite/own",
    ]
    assert "- tiny/0/rewrite/own: tune-rewrite: the loss \\| is nan" in lines
    plot = (page.parent / "tiny-popularity.svg").read_text()
    assert "frozen + rewrite" in plot
    assert SHUFFLED not in plot
    assert "50.0%" in (page.parent / "habits.md").read_text()


def test_report_marks_seconds_of_which_a_killed_part_is_missing(ablation):
    planned = plan(ablation(CELLS))
    write_text_cell(planned[1], resumed=True)
    text = write_report(ablation(CELLS), planned, failed={}, command="x").read_text()
    assert any(line.startswith("| frozen + template |") and line.endswith("| > 15 |") for line in text.splitlines())


def test_report_of_nothing_lists_all_cells(ablation):
    planned = plan(ablation(CELLS))
    text = write_report(ablation(CELLS), planned, failed={}, command="x").read_text()
    assert "- tiny/0: baselines, template/frozen, rewrite/frozen, template/own, rewrite/own\n" in text
    assert "| arm |" not in text


def test_report_compares_a_variant_with_the_main_cell(ablation):
    variant = '[[ablation.variants]]\nname = "letters"\nset = ["reasoner.head=letters"]\n'
    planned = plan(ablation(CELLS + variant))
    for cell in planned:
        if cell.reasoner == "frozen" and cell.verbalizer == "template":
            write_text_cell(cell)
    text = write_report(ablation(CELLS + variant), planned, failed={}, command="x").read_text()
    assert "| frozen + template (letters) − frozen + template | all | +0.000 |" in text


def test_report_compares_a_third_stage_with_the_second(ablation):
    variant = '[[ablation.variants]]\nname = "third"\nverbalizers = ["rewrite-2"]\n'
    planned = plan(ablation(CELLS + variant))
    for cell in planned:
        if cell.reasoner == "frozen":
            write_text_cell(cell)
    text = write_report(ablation(CELLS + variant), planned, failed={}, command="x").read_text()
    assert "| frozen + rewrite-2 (third) − frozen + rewrite | all | +0.000 |" in text
