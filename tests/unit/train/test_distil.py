"""What a student learns from: the lists, the gate on the teacher, and a student that comes near its teacher."""

import shutil

import numpy as np
import polars as pl
import pytest
import torch

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.train.distil import distil, gated_loss
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.lessons import DRAWN, LESSONS, RETRIEVED, STATES, write_lessons
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential
from raconteur.train.tune import TEXTS, tune_reasoner

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


def test_lessons_states_and_item_tokens_give_what_the_teacher_scores_before_it_reads_candidates(taught):
    """With its last term, which reads the candidates, set to nothing, a teacher's scores are those of its states."""
    _, _, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS)
    teacher = ChoiceReasoner.load(folder / "tuned")
    torch.nn.init.zeros_(teacher.model.query.weight)
    tokens_BN = torch.tensor([[teacher.prompts.item_token(item) for item in row] for row in table["candidates"]])
    states_BW = torch.from_numpy(np.load(folder / "lessons" / STATES))[table["number"].to_list()]
    with torch.inference_mode():
        items_BNW, prior_BN = teacher.model.body.embed_tokens(tokens_BN), teacher.model.prior(tokens_BN)[:, :, 0]
        suits_BN = (items_BNW @ states_BW[:, :, None])[:, :, 0] + prior_BN
    scores_BN = teacher.score(table["text"].to_list(), table["candidates"].to_list())
    assert np.allclose(suits_BN.numpy(), scores_BN, atol=1e-4)


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


def test_distil_student_learns_how_any_item_suits_a_text_from_the_teacher_alone(taught):
    config, _, folder = taught
    texts = pl.read_parquet(folder / "lessons" / LESSONS)["text"].unique(maintain_order=True).to_list()
    teacher = ChoiceReasoner.load(folder / "tuned")
    tokens_V = torch.tensor([teacher.prompts.item_token(item) for item in catalogue_ids(taught)])

    @torch.inference_mode()
    def suits(model):
        items_VW, prior_V = model.model.body.embed_tokens(tokens_V), model.model.prior(tokens_V)[:, 0]
        return (model.states(texts) @ items_VW.T + prior_V).log_softmax(dim=1)

    def divergence(hard_weight):
        settings = config.student.model_copy(update={"hard_weight": hard_weight, "num_steps": 200})
        changed, out = config.model_copy(update={"student": settings}), folder / f"student-{hard_weight}"
        figures = distil(changed, folder / "lessons", folder / "tuned", out, folder / "checkpoints")
        assert ("taste" in figures) == (hard_weight < 1)
        missed_BV = torch.nn.functional.kl_div(
            suits(ChoiceReasoner.load(out)), suits(teacher), log_target=True, reduction="none"
        )
        return missed_BV.sum(dim=1).mean().item()

    assert divergence(0.3) < 0.5 * divergence(1.0)


def test_distil_teacher_that_reads_titles_has_no_states_and_teaches_by_lists(taught, tmp_path):
    config, dataset, folder = taught
    tuned = ChoiceReasoner.load(folder / "tuned").prompts
    titles = {item_id: item.title for item_id, item in catalogue(dataset).items()}
    prompts = Prompts(tuned.tokenizer, history_tokens=tuned.history_tokens, inputs="text", titles=titles)
    model = ChoiceModel(
        tuned.tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0, inputs="text"
    )
    with new_folder(tmp_path / "tuned", kind="reasoner") as made:
        ChoiceReasoner(model, prompts).save(made)
        shutil.copy(folder / "tuned" / TEXTS, made / TEXTS)
    write_lessons(config, config.workdir / "data", folder / "retriever", tmp_path / "tuned", tmp_path / "lessons")
    assert not (tmp_path / "lessons" / STATES).exists()
    config = config.model_copy(update={"student": config.student.model_copy(update={"num_steps": 2})})
    figures = distil(config, tmp_path / "lessons", tmp_path / "tuned", tmp_path / "student", tmp_path / "checkpoints")
    assert set(figures) == {"soft", "hard", "agreement"}


def catalogue_ids(taught):
    return taught[1].items["item_id"].to_list()


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
