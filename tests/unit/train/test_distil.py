"""What a student learns from: the lists, the gate on the teacher, and a student that comes near its teacher."""

import numpy as np
import polars as pl
import pytest
import torch

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.train.distil import distil, gated_loss
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.lessons import DRAWN, LESSONS, RETRIEVED, write_lessons
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.train.tune import tune_reasoner

SHAPE = {
    "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 20},
    "reasoner": {"num_steps": 20, "batch_size": 16, "tune_steps": 20, "tune_examples": 40},
    "student": {"num_layers": 1, "width": 8, "num_heads": 2, "num_steps": 30, "batch_size": 16},
}


@pytest.fixture(scope="module")
def taught(small, tmp_path_factory):
    """Config, data, tuned Reasoner and the lessons that it gave."""
    folder = tmp_path_factory.mktemp("taught")
    config = Config.model_validate({**small.model_dump(), **SHAPE})
    data, checkpoints = small.workdir / "data", folder / "checkpoints"
    train_sequential(config, data, folder / "retriever", checkpoints)
    train_reasoner(config, data, folder / "retriever", folder / "reasoner", checkpoints)
    dataset = load_dataset(data)
    clean = StyleVerbalizer(CLEAN, facts_of(catalogue(dataset), config), max_events=config.text.max_events)
    tune_reasoner(config, data, folder / "reasoner", clean, folder / "tuned", checkpoints)
    write_lessons(config, data, folder / "retriever", folder / "tuned", folder / "lessons")
    return config, dataset, folder


def test_lessons_hold_the_teachers_own_scores(taught):
    _, _, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS)
    teacher = ChoiceReasoner.load(folder / "tuned")
    scores = teacher.score(table["text"].to_list(), table["candidates"].to_list())
    assert np.allclose(scores, np.array(table["scores"].to_list()), atol=1e-4)


def test_lessons_drawn_lists_hold_the_truth_and_no_item_touched_before(taught):
    _, dataset, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS).filter(pl.col("lists") == DRAWN)
    log = training_log(dataset)
    rows = log.targets.select("user_id", "position", "item_id").iter_rows()
    truths = {(user, place): item for user, place, item in rows}
    for user, place, candidates, truth in table.select("user_id", "position", "candidates", "truth").iter_rows():
        touched = set(log.events.filter(pl.col("user_id") == user)["item_id"])
        assert candidates[truth] == truths[user, place]
        if len(touched) > dataset.items.height - 20:
            continue  # too few items are left: touched ones fill the list
        assert len(set(candidates)) == 20
        assert not touched & (set(candidates) - {candidates[truth]})


def test_lessons_retrieved_lists_leave_taken_items_out_and_say_where_the_truth_is(taught):
    _, dataset, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS).filter(pl.col("lists") == RETRIEVED)
    log = training_log(dataset)
    targets = table.select("user_id", "position").join(log.targets, on=["user_id", "position"], maintain_order="left")
    for items, candidates, item, truth in zip(
        takes_before(log.events, table), table["candidates"], targets["item_id"], table["truth"], strict=True
    ):
        few_left = len(set(items)) > dataset.items.height - len(candidates)
        assert few_left or not set(items) & set(candidates)
        assert truth == (candidates.to_list().index(item) if item in candidates else -1)


def test_distil_student_agrees_with_its_teacher_more_than_chance(taught):
    config, _, folder = taught
    figures = distil(config, folder / "lessons", folder / "tuned", folder / "student", folder / "checkpoints")
    table = pl.read_parquet(folder / "lessons" / LESSONS)
    student = ChoiceReasoner.load(folder / "student")
    chosen = student.score(table["text"].to_list(), table["candidates"].to_list()).argmax(axis=1)
    taught_first = np.array(table["scores"].to_list()).argmax(axis=1)
    assert (chosen == taught_first).mean() > 0.3  # one of twenty is chance
    assert 0.0 <= figures["agreement"] <= 1.0


def test_gated_loss_copies_the_teacher_only_where_it_is_right_or_nobody_knows():
    # teacher right, teacher wrong, truth not on the list
    soft, hard = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([3.0, 3.0, 0.0])
    truth, chosen = torch.tensor([0, 0, -1]), torch.tensor([0, 1, 1])
    loss = gated_loss(soft, hard, truth, chosen, 0.25)
    assert loss.item() == pytest.approx((0.75 * 1 + 0.25 * 3 + 3.0 + 0.75 * 1) / 3)


def test_gated_loss_of_an_undistilled_twin_hears_no_teacher():
    soft, hard = torch.tensor([9.0, 9.0, 9.0]), torch.tensor([3.0, 3.0, 0.0])
    truth, chosen = torch.tensor([0, 0, -1]), torch.tensor([0, 1, 1])
    assert gated_loss(soft, hard, truth, chosen, 1.0).item() == pytest.approx(2.0)
