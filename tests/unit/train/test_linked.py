"""Weights of a Reasoner and of what is beside it; the ablation's tests link trained Reasoners."""

import numpy as np
import pytest
import torch

from raconteur import columns as c
from raconteur.config.schema import Config, SequentialConfig
from raconteur.data.dataset import load_dataset
from raconteur.data.histories import history_before
from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.linked import LinkedReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.styles import CLEAN, StyleVerbalizer
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.retrieve.sequential import ItemLM, SequentialRetriever
from raconteur.train.examples import catalogue, choices, facts_of, training_log
from raconteur.train.linked import link_reasoner


@pytest.fixture
def judge(small, tmp_path):
    """An untrained Reasoner of the small world's catalogue, saved."""
    items = catalogue(load_dataset(small.workdir / "data"))
    tokenizer = train_tokenizer([" likes drama"] * 20, list(map(mention, items)), 400)
    torch.manual_seed(0)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    folder = tmp_path / "judge"
    folder.mkdir()
    ChoiceReasoner(model, Prompts(tokenizer, history_tokens=64)).save(folder)
    return folder


@pytest.fixture
def sequential(small, tmp_path):
    """An untrained sequential model, saved."""
    torch.manual_seed(0)
    ids, config = tuple(catalogue(load_dataset(small.workdir / "data"))), SequentialConfig(width=16, num_heads=2)
    folder = tmp_path / "sequential"
    folder.mkdir()
    SequentialRetriever(ItemLM(len(ids), config), ids, config).save(folder)
    return folder


@pytest.fixture
def clean(small):
    items = catalogue(load_dataset(small.workdir / "data"))
    return StyleVerbalizer(CLEAN, facts_of(items, small), max_events=small.text.max_events)


def test_link_reasoner_of_an_untrained_one_predicts_better(small, sequential, judge, clean, tmp_path):
    figures = link_reasoner(small, small.workdir / "data", sequential, judge, clean, tmp_path / "linked")
    linked = LinkedReasoner.load(tmp_path / "linked")
    dataset = load_dataset(small.workdir / "data")
    rows = choices(dataset, "test", "popularity")
    texts = clean.write(history_before(dataset.events, rows, small.text.max_events))
    lists, truth = rows[c.CANDIDATES].to_list(), rows[c.TRUTH].to_numpy()

    def likelihood(scores):
        return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))[np.arange(len(truth)), truth].mean()

    assert likelihood(linked.score(texts, lists)) > likelihood(linked.judge.score(texts, lists))
    assert set(figures) == {"weight_reasoner", "weight_sequential", "weight_ease", "weight_markov", "weight_takes"}
    np.testing.assert_allclose(linked.weights_F, list(figures.values()))


def test_link_reasoner_counts_the_training_log_alone(small, sequential, judge, clean, tmp_path):
    link_reasoner(small, small.workdir / "data", sequential, judge, clean, tmp_path / "linked")
    counted = LinkedReasoner.load(tmp_path / "linked").links.takes.scores.sum()
    assert counted == sum(map(len, training_log(load_dataset(small.workdir / "data")).sequences))


def test_link_reasoner_catalogue_above_the_limit_is_refused_with_the_remedy(small, sequential, judge, clean, tmp_path):
    config = Config.model_validate({**small.model_dump(), "retrieve": {"max_matrix_items": 10}})
    with pytest.raises(TrainingError, match="max_matrix_items"):
        link_reasoner(config, small.workdir / "data", sequential, judge, clean, tmp_path / "linked")
