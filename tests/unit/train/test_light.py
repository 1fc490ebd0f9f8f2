"""How the light ranker is taught: evidence from parts that never saw the user, the gate, and the twin."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file

from raconteur import columns as c
from raconteur.artifacts import new_folder
from raconteur.config.schema import Config, SequentialConfig
from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.errors import ArtifactError, TrainingError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.light import LightRanker, forward
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.popularity import Popularity
from raconteur.retrieve.sequential import ItemLM, SequentialRetriever
from raconteur.train.evidence import FILE, evidence_of, held_out_evidence, load_fused, read_evidence, write_evidence
from raconteur.train.examples import catalogue, facts_of, training_log
from raconteur.train.lessons import DRAWN, LESSONS, write_lessons
from raconteur.train.light import LightNetwork, start, train_light
from raconteur.train.reasoner import train_reasoner
from raconteur.train.retrieval import fit_parts, train_retrieval
from raconteur.train.sequential import train_sequential
from raconteur.train.tune import tune_reasoner

SHAPE = {
    "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 20},
    "reasoner": {"num_steps": 20, "batch_size": 16, "tune_steps": 20, "tune_examples": 40},
    "student": {"num_steps": 150, "batch_size": 16, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def taught(small, tmp_path_factory):
    """Config, data set and a folder with the retrievers, the tuned Reasoner, its lessons and their evidence."""
    folder = tmp_path_factory.mktemp("light")
    config = Config.model_validate({**small.model_dump(), **SHAPE})
    data, checkpoints = small.workdir / "data", folder / "checkpoints"
    train_sequential(config, data, folder / "sequential", checkpoints)
    train_retrieval(config, data, folder / "sequential", folder / "retrieval")
    train_reasoner(config, data, folder / "sequential", folder / "reasoner", checkpoints)
    dataset = load_dataset(data)
    clean = StyleVerbalizer(CLEAN, facts_of(catalogue(dataset), config), max_events=config.text.max_events)
    tune_reasoner(config, data, folder / "reasoner", clean, folder / "tuned", checkpoints)
    write_lessons(config, data, folder / "sequential", folder / "tuned", folder / "lessons")
    folders = (folder / "retrieval", folder / "sequential", folder / "lessons", folder / "evidence")
    write_evidence(config, data, *folders)
    return config, dataset, folder


def _train(taught, out, hard_weight, lessons="lessons"):
    config, _, folder = taught
    student = config.student.model_copy(update={"hard_weight": hard_weight})
    config = config.model_copy(update={"student": student})
    train_light(config, folder / lessons, folder / "evidence", folder / "tuned", out, out.with_suffix(".steps"))
    return load_file(out / "model.safetensors")


def _equal(weights, others):
    return all(np.array_equal(weights[name], others[name]) for name in weights)


def test_evidence_of_candidates_are_the_parts_scores_in_their_places():
    item_ids = ["a", "b", "c"]
    counted = Popularity.fit([["a", "b", "c"], ["a", "b"], ["a"]], item_ids)
    config = SequentialConfig(num_layers=1, width=8, num_heads=2)
    torch.manual_seed(0)
    sequential = SequentialRetriever(ItemLM(3, config), item_ids, config)
    fused = FusedRetriever({"popularity": counted}, np.ones(1), "reciprocal")
    known = evidence_of(fused, sequential, [["a"], ["b", "c"]], [["c", "a", "unknown"], ["b", "c", "a"]])
    expected = [[1 / 63, 1 / 61, 0], [1 / 62, 1 / 63, 1 / 61]]
    np.testing.assert_allclose(known.parts_BNP[:, :, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(known.state_BS, sequential.states([["a"], ["b", "c"]]).numpy())


def test_held_out_evidence_of_a_lesson_does_not_depend_on_what_its_user_took_then(taught):
    config, dataset, folder = taught
    sequential = SequentialRetriever.load(folder / "sequential")
    lesson = pl.read_parquet(folder / "lessons" / LESSONS).head(1)
    later = (pl.col(c.USER_ID) == lesson[c.USER_ID][0]) & (pl.col(c.POSITION) >= lesson[c.POSITION][0])
    shown = lesson[c.CANDIDATES][0].to_list()
    taken_then = pl.when(later).then(pl.lit(shown[-1])).otherwise(pl.col(c.ITEM_ID)).alias(c.ITEM_ID)
    changed = replace(dataset, events=dataset.events.with_columns(taken_then))
    fused = load_fused(folder / "retrieval")
    held_out = [held_out_evidence(config, one, fused, sequential, lesson) for one in (dataset, changed)]
    np.testing.assert_array_equal(held_out[0].parts_BNP, held_out[1].parts_BNP)
    seen = [_seen_evidence(config, one, fused, sequential, lesson) for one in (dataset, changed)]
    assert not np.allclose(seen[0].parts_BNP, seen[1].parts_BNP)


def _seen_evidence(config, dataset, fused, sequential, lesson):
    """From parts that were fitted on everybody."""
    log = training_log(dataset)
    parts = fit_parts(config.retrieve, dataset, log, sequential)
    retriever = FusedRetriever({name: parts[name] for name in fused.parts}, fused.weights, fused.method)
    return evidence_of(retriever, sequential, takes_before(log.events, lesson), lesson[c.CANDIDATES].to_list())


def test_write_evidence_is_in_the_order_of_the_lessons(taught):
    config, dataset, folder = taught
    lessons = pl.read_parquet(folder / "lessons" / LESSONS)
    known = read_evidence(folder / "evidence")
    fused, sequential = load_fused(folder / "retrieval"), SequentialRetriever.load(folder / "sequential")
    assert known.parts_BNP.shape == (lessons.height, 20, len(fused.parts))
    some = [lessons.height - 1, 3]
    alone = held_out_evidence(config, dataset, fused, sequential, lessons[some])
    np.testing.assert_allclose(known[np.array(some)].parts_BNP, alone.parts_BNP, atol=1e-4)
    np.testing.assert_allclose(known[np.array(some)].state_BS, alone.state_BS, atol=1e-4)


def test_read_evidence_changed_file_is_refused(taught, tmp_path):
    with new_folder(tmp_path / "evidence", kind="evidence") as folder:
        save_file({"parts": np.zeros((1, 1, 1)), "state": np.zeros((1, 1))}, folder / FILE)
    (tmp_path / "evidence" / FILE).write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="checksum"):
        read_evidence(tmp_path / "evidence")


def test_load_fused_retriever_without_parts_is_refused(taught):
    with pytest.raises(TrainingError, match="'sequential'; a light ranker needs a fused one"):
        load_fused(taught[2] / "sequential")


def test_start_knows_how_alike_the_teachers_tokens_are(taught):
    teacher = ChoiceReasoner.load(taught[2] / "tuned").model
    light = start(teacher, num_parts=2, state_width=3)
    theirs, ours = teacher.body.embed_tokens.weight, light.tokens.weight
    # The teacher's 16 directions all fit into the 32 of the light ranker, so that nothing is lost here.
    np.testing.assert_allclose((ours @ ours.T).detach(), (theirs @ theirs.T).detach(), atol=1e-4)
    assert (light.prior.weight == teacher.prior.weight).all()


def test_network_scores_as_the_ranker_does():
    torch.manual_seed(0)
    network = LightNetwork(7, num_parts=3, state_width=4)
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    parts_BNP, state_BS = torch.randn(2, 2, 3), torch.randn(2, 4)
    read = [[], [1, 2, 2]], [[0], [3, 4], [5, 6, 1], [6]]
    trained = network(*read, parts_BNP, state_BS).detach()
    np.testing.assert_allclose(
        forward(network.weights(), *read, parts_BNP.numpy(), state_BS.numpy()), trained, rtol=1e-4
    )


def test_train_light_agrees_with_its_teacher_more_than_chance(taught, tmp_path):
    _train(taught, tmp_path / "light", 0.3)
    _, _, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS)
    ranker = LightRanker.load(tmp_path / "light")
    known = read_evidence(folder / "evidence")
    chosen = ranker.score(table["text"].to_list(), table[c.CANDIDATES].to_list(), known).argmax(axis=1)
    assert (chosen == np.array(table["scores"].to_list()).argmax(axis=1)).mean() > 0.2  # one of twenty is chance
    drawn = (table["lists"] == DRAWN).to_numpy()
    assert (chosen == table[c.TRUTH].to_numpy())[drawn].mean() > 0.2


def test_train_light_twin_hears_no_teacher_and_the_taught_one_does(taught, tmp_path):
    _, _, folder = taught
    table = pl.read_parquet(folder / "lessons" / LESSONS)
    other = table.with_columns(pl.col("scores").list.eval(-pl.element()))
    with new_folder(folder / "opposite", kind="lessons") as opposite:
        other.write_parquet(opposite / LESSONS)
    twins = [_train(taught, tmp_path / f"{name}-twin", 1.0, name) for name in ("lessons", "opposite")]
    pupils = [_train(taught, tmp_path / f"{name}-pupil", 0.3, name) for name in ("lessons", "opposite")]
    assert _equal(*twins)
    assert not _equal(*pupils)
    assert not _equal(twins[0], pupils[0])
