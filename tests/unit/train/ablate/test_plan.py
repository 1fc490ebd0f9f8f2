"""The plan: which cells there are, and which settings make a stage anew."""

import pytest

from raconteur.errors import ConfigError
from raconteur.train.ablate.plan import describe, plan, select
from raconteur.train.ablate.stages import upstream

SMALL = 'verbalizers = ["template", "clean"]\nreasoners = ["frozen", "raw", "own"]\n'
ALL = 'verbalizers = ["template", "action", "rewrite", "rewrite-2"]\n'
# Stages and cells that no writer stands behind.
WITHOUT_WRITER = {
    *("action", "texts-template", "texts-action", "tune-template", "tune-action"),
    *("linked-template", "linked-action", "template/linked", "action/linked"),
    *("template/frozen", "template/raw", "action/frozen", "action/raw", "action/own"),
}


def folders(cells):
    """Folder of every stage by its name; a cell's own stage by the cell's name."""
    found = {}
    for cell in cells:
        *behind, last = upstream(cell.stage)
        found |= {step.name: step.folder.name for step in behind} | {cell.name: last.folder.name}
    return found


def test_plan_crosses_all_and_tells_what_is_the_same_once(ablation):
    names = [cell.name for cell in plan(ablation(SMALL + "seeds = [0, 1]\n"))]
    of_seed = ["baselines", "template/frozen", "clean/frozen", "template/raw", "clean/raw", "clean/own"]
    assert names == [f"tiny/{seed}/{name}" for seed in (0, 1) for name in of_seed]  # template/own is template/raw


def test_plan_variant_has_its_own_cells_on_the_first_seed(ablation):
    variant = (
        '[[ablation.variants]]\nname = "letters"\nset = ["reasoner.head=letters"]\nreasoners = ["frozen", "own"]\n'
    )
    names = [cell.name for cell in plan(ablation(SMALL + "seeds = [3, 4]\n" + variant))]
    assert [name for name in names if "letters" in name] == [  # of the first seed
        "tiny/3/template/frozen/letters",
        "tiny/3/template/own/letters",
    ]


def test_plan_variant_of_stage_2_keeps_the_frozen_reasoner(ablation):
    variant = (
        '[[ablation.variants]]\nname = "pointwise"\ntune = ["reasoner.loss=pointwise"]\nreasoners = ["frozen", "own"]\n'
    )
    cells = plan(ablation(SMALL + variant))
    main, other = (folders(select(cells, [name])) for name in ("tiny/0/template/raw", "*/pointwise"))
    assert main["reasoner"] == other["reasoner"]
    assert main["texts-template"] == other["texts-template"]
    assert main["tune-template"] != other["tune-template"]
    assert [cell.name for cell in cells if cell.variant] == ["tiny/0/template/own/pointwise"]  # frozen is the main one


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("world.num_users=61", set()),
        ("evaluate.num_candidates=9", set()),
        ("sequential.num_steps=4", {"data"}),
        ("reasoner.num_steps=4", {"data", "sequential", "baselines"}),
        ("text.max_events=13", {"data", "sequential", "baselines"}),
        ("verbalizer.sft_steps=5", {"data", "sequential", "baselines", "reasoner", *WITHOUT_WRITER}),
    ],
)
def test_plan_changed_setting_changes_the_keys_downstream_alone(ablation, override, kept):
    base, other = folders(plan(ablation(ALL))), folders(plan(ablation(ALL, override)))
    same = {name.removeprefix("tiny/0/") for name in base if base[name] == other[name]}
    assert same == kept


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("evaluate.num_bootstrap=7", ()),
        ("evaluate.cold_targets=2", ("baselines", "/frozen", "/raw", "/own", "/linked")),
        ("reasoner.tune_steps=3", ("tune-", "linked", "/raw", "/own", "rewrite-2")),
        ("verbalizer.grpo.num_steps=2", ("rewrite",)),
        ("verbalizer.best_steps=3", ("best", "rewrite")),
        ("verbalizer.action.num_steps=3", ("action",)),
        ("verbalizer.learning_rate=0.1", ("start", "best", "rewrite", "action")),
        ("student.num_steps=3", ()),
    ],
)
def test_plan_changed_setting_changes_what_it_decides_about(ablation, override, changed):
    base, other = folders(plan(ablation(ALL))), folders(plan(ablation(ALL, override)))
    for name, folder in base.items():
        assert (folder != other[name]) == any(part in name for part in changed), name


def test_plan_seeds_share_the_data_and_nothing_else(ablation):
    cells = plan(ablation(SMALL + "seeds = [0, 1]\n"))
    first, second = (folders([cell for cell in cells if cell.seed == seed]) for seed in (0, 1))
    assert {name for name in first if first[name] in second.values()} == {"data"}


def test_plan_data_sets_of_one_name_are_refused(ablation):
    with pytest.raises(ConfigError, match="called tiny"):
        plan(ablation('data = ["tiny.toml", "tiny.toml"]\n'))


def test_select_by_pattern(ablation):
    cells = plan(ablation(SMALL))
    assert [cell.name for cell in select(cells, ["tiny/0/clean/*"])] == [
        "tiny/0/clean/frozen",
        "tiny/0/clean/raw",
        "tiny/0/clean/own",
    ]
    assert select(cells, []) == cells
    with pytest.raises(ConfigError, match="nothing fits 'tiny/9/"):
        select(cells, ["tiny/0/*", "tiny/9/*"])


def test_describe_names_what_a_cell_lacks(ablation):
    lines = describe(plan(ablation(SMALL))).splitlines()
    assert lines[0].split() == ["tiny/0/baselines", "to", "do:", "data,", "sequential,", "evaluate"]
    assert lines[-1].endswith("to do: data, sequential, reasoner, tune-clean, texts-clean, evaluate")
