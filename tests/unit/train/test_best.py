"""Which style is learned, judged by a scripted Reasoner that is helped by one thing only."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.reason.prompts import Prompts
from raconteur.represent.citations import VOCABULARY, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.styles import written
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train import best
from raconteur.train.best import best_style
from raconteur.train.examples import NegativeSampler, TrainingLog
from raconteur.train.rewards import Rewards, Rollouts
from raconteur.types import Event, History

ITEMS = tuple("abcdefgh")
START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = Config.model_validate({"data": {"min_value": 10}, "evaluate": {"num_candidates": 3}})


class Helped:
    """A Reasoner that is surer of the truth, item h, the fewer of the accidental plays (item b) it reads."""

    def __init__(self):
        tokenizer = train_tokenizer(["0d play 50"] * 9, [*map(mention, ITEMS), *VOCABULARY], 280)
        self.prompts = Prompts(tokenizer, history_tokens=96)

    def score(self, texts, candidates):
        sure = [3.0 - mentioned(text).count("b") for text in texts]
        return np.array([[s if item == "h" else 0.0 for item in row] for s, row in zip(sure, candidates, strict=True)])


class Curt(Helped):
    """A Reasoner that is surer of the truth the less it reads."""

    def score(self, texts, candidates):
        sure = [-0.1 * len(text) for text in texts]
        return np.array([[s if item == "h" else 0.0 for item in row] for s, row in zip(sure, candidates, strict=True)])


@pytest.fixture(scope="module")
def rollouts():
    def past(user):
        plays = [("a", 50.0), ("b", 2.0), ("c", 40.0), ("b", 1.0)]
        return History(
            user, tuple(Event(item, START + timedelta(hours=n), "play", value) for n, (item, value) in enumerate(plays))
        )

    users = ["u", "v", "w"]
    events = pl.DataFrame(
        [(user, item) for user in users for item in "abch"], schema=[c.USER_ID, c.ITEM_ID], orient="row"
    )
    targets = pl.DataFrame({c.USER_ID: users, c.ITEM_ID: ["h"] * 3, c.DISCOVERY: [True, True, False]})
    log = TrainingLog(events, targets, [], [])
    return Rollouts([past(user) for user in users], targets, NegativeSampler(log, ITEMS), ITEMS)


@pytest.fixture
def facts():
    return Facts(dict.fromkeys(ITEMS, ("drama",)), CONFIG.data)


@pytest.fixture
def chosen(rollouts, facts):
    """The style that is found with a seed, and the mean length of its texts over the template's."""

    def choose(seed, judge=Helped):
        rewards = Rewards(judge(), rollouts, CONFIG)
        style = best_style(rewards, rollouts, facts, CONFIG.text, np.random.default_rng(seed))
        texts = [resolve(written(past.events, style, facts), past.events, facts) for past in rollouts.histories]
        return style, rewards.terms(texts, range(len(texts)), step=0)["ratio"].mean()

    return choose


@pytest.mark.parametrize("seed", range(4))
def test_best_style_leaves_out_what_hinders_the_reasoner_and_has_the_right_length(chosen, seed):
    style, ratio = chosen(seed)
    assert style.keep == "takes"
    assert 0.3 <= ratio <= 0.7


def test_best_style_that_is_too_short_is_not_chosen_however_well_it_is_read(chosen):
    assert 0.3 <= chosen(0, Curt)[1] <= 0.7


def test_best_style_where_none_has_the_right_length_is_the_best_of_all(chosen, monkeypatch):
    monkeypatch.setattr(best, "PLATEAU", (1.1, 1.2))
    assert chosen(0)[0].keep == "takes"


def test_best_style_is_the_same_from_the_same_seed(chosen):
    assert chosen(3) == chosen(3)
