"""Rewards of texts, judged by a scripted Reasoner on a catalogue of eight films."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.reason.prompts import Prompts
from raconteur.represent.citations import VOCABULARY, resolve
from raconteur.represent.facts import Facts
from raconteur.represent.mentions import mention, mentioned
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.examples import NegativeSampler, TrainingLog
from raconteur.train.rewards import (
    DRAWS,
    MIN_PROBABILITY,
    Rewards,
    Rollouts,
    distinct_share,
    length_plateau,
    valid_share,
)
from raconteur.types import Event, History

ITEMS = tuple("abcdefgh")
START = datetime(2024, 1, 1, tzinfo=UTC)


def history(user, items):
    return History(
        user, tuple(Event(item, START + timedelta(days=day), "play", 50.0) for day, item in enumerate(items))
    )


HISTORIES = [history("u", "abc"), history("v", "bbca")]
TRUTHS = ["d", "e"]


@pytest.fixture(scope="module")
def rollouts():
    touched = [(past.user_id, event.item_id) for past in HISTORIES for event in past.events]
    events = pl.DataFrame([*touched, ("u", "d"), ("v", "e")], schema=[c.USER_ID, c.ITEM_ID], orient="row")
    targets = pl.DataFrame({c.USER_ID: ["u", "v"], c.ITEM_ID: TRUTHS, c.DISCOVERY: [True, True]})
    log = TrainingLog(events, targets, [], [])
    return Rollouts(HISTORIES, targets, NegativeSampler(log, ITEMS), ITEMS)


@pytest.fixture(scope="module")
def prompts():
    tokenizer = train_tokenizer(["0d play 50"] * 9, [*map(mention, ITEMS), *VOCABULARY], 280)
    return Prompts(tokenizer, history_tokens=96)


class Named:
    """A Reasoner that scores ln 3 for what the text names and 0 for the rest; it keeps what it was shown."""

    def __init__(self, prompts):
        self.prompts = prompts
        self.shown = []

    def score(self, texts, candidates):
        rows = list(zip(texts, candidates, strict=True))
        self.shown += rows
        return np.log([[3.0 if item in mentioned(text) else 1.0 for item in items] for text, items in rows])


class FirstPlace(Named):
    """A Reasoner that always chooses what stands first."""

    def score(self, texts, candidates):
        return np.array([[1.0] + [0.0] * (len(items) - 1) for items in candidates])


class FirstPlaceAfterLogs(FirstPlace):
    """Chooses what stands first after a log, and has no opinion after the text x."""

    def score(self, texts, candidates):
        return super().score(texts, candidates) * np.array([[text != "x"] for text in texts])


class Ignorant(Named):
    """A Reasoner that does not know the films d and e."""

    def score(self, texts, candidates):
        return np.array([[math.nan if item in "de" else 0.0 for item in items] for items in candidates])


def config(**grpo):
    return Config.model_validate({"evaluate": {"num_candidates": 3}, "verbalizer": {"grpo": grpo}})


def test_terms_of_a_text_that_names_the_truth_by_hand(prompts, rollouts):
    # candidates score (ln 3, 0, 0): the truth has 3/5; after the template, which names no candidate, 1/3
    terms = Rewards(Named(prompts), rollouts, config()).terms(["<item:d>", "<item:e> <item:b>"], [0, 1], step=0)
    np.testing.assert_allclose(terms["accuracy"], 1.0)
    np.testing.assert_allclose(terms["probability"], 0.6)
    np.testing.assert_allclose(terms["gain"], math.log(0.6 / (1 / 3)))
    np.testing.assert_allclose(terms["valid"], 1.0)


def test_gain_of_the_template_itself_is_zero(prompts, rollouts):
    judge = Named(prompts)
    rewards = Rewards(judge, rollouts, config())
    rewards.terms(["", ""], [0, 1], step=0)
    logs = [text for text, _ in judge.shown if text][::DRAWS]
    assert [len(mentioned(log)) for log in logs] == [3, 4]
    np.testing.assert_allclose(rewards.terms(logs, [0, 1], step=5)["gain"], 0.0, atol=1e-12)


def test_terms_group_is_judged_on_the_same_candidates_in_its_own_orders(prompts, rollouts):
    judge = Named(prompts)
    Rewards(judge, rollouts, config()).terms(["<item:a>"] * 16, [0] * 8 + [1] * 8, step=0)
    lists = [items for text, items in judge.shown if text == "<item:a>"]
    for row, truth in enumerate(TRUTHS):
        group = np.array(lists[row * 8 * DRAWS : (row + 1) * 8 * DRAWS]).reshape(8, DRAWS, 3)
        assert (np.sort(group, axis=2) == np.sort(group, axis=2)[:1]).all()
        assert (group == truth).any(axis=2).all()
        assert not np.isin(group, [event.item_id for event in HISTORIES[row].events]).any()
        assert len({tuple(sample.ravel()) for sample in group}) > 1


def test_terms_negatives_of_a_prompt_do_not_depend_on_the_others_of_the_step(prompts, rollouts):
    judge = Named(prompts)
    rewards = Rewards(judge, rollouts, config())
    rewards.terms(["<item:b>", "<item:a>"], [1, 0], step=2)
    rewards.terms(["<item:a>"], [0], step=2)
    lists = [set(items) for text, items in judge.shown if text == "<item:a>"]
    assert lists[:DRAWS] == lists[DRAWS:]


def test_gain_of_a_row_does_not_depend_on_what_else_is_judged_in_the_step(prompts, rollouts):
    """The log of a row is measured once a step, in orders of its own: first alone, or behind others."""
    alone = Rewards(FirstPlaceAfterLogs(prompts), rollouts, config()).terms(["x"], [1], step=3)["gain"]
    together = Rewards(FirstPlaceAfterLogs(prompts), rollouts, config())
    gains = [together.terms(["x", "x", "x"], rows, step=3)["gain"] for rows in ([0, 0, 0], [0, 1, 0])]
    assert gains[1][1] == alone[0]
    assert gains[1][0] == gains[0][0]


def test_terms_no_text_earns_by_the_place_of_the_truth(prompts, rollouts):
    accuracy = Rewards(FirstPlace(prompts), rollouts, config()).terms(["x"] * 300, [0] * 300, step=0)["accuracy"]
    # 1200 lists of three: 1/3 with a standard error of .014
    assert accuracy.mean() == pytest.approx(1 / 3, abs=0.05)
    assert set(accuracy) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_terms_are_drawn_from_the_step_alone(prompts, rollouts):
    rewards = Rewards(FirstPlace(prompts), rollouts, config())
    first, again, other = (rewards.terms(["x"] * 32, [0, 1] * 16, step)["accuracy"] for step in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_terms_truth_that_the_reasoner_does_not_know_earns_next_to_nothing(prompts, rollouts):
    terms = Rewards(Ignorant(prompts), rollouts, config()).terms(["x"], [0], step=0)
    assert terms["accuracy"].tolist() == [0.0]
    np.testing.assert_allclose(terms["probability"], MIN_PROBABILITY)


def test_length_is_measured_against_the_template_of_the_same_row(prompts, rollouts):
    judge = Named(prompts)
    rewards = Rewards(judge, rollouts, config())
    rewards.terms(["", ""], [0, 1], step=0)
    log = next(text for text, _ in judge.shown if text)
    num_log = len(prompts.encode_texts([log])[0])
    terms = rewards.terms(["<item:a> <item:b>", log, ""], [0, 0, 0], step=0)
    expected = length_plateau(np.array([2.0, num_log, 0.0]) / num_log)
    np.testing.assert_allclose(terms["length"], expected)
    np.testing.assert_allclose(terms["ratio"], [2.0 / num_log, 1.0, 0.0])
    assert terms["length"][1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("reward", "expected"),
    [("accuracy", 0.8 * 0.5 + 0.2 * 0.25 + 0.3 * 0.5), ("probability", 0.8 * 0.4 + 0.2), ("gain", -0.8 * 0.3 + 0.2)],
)
def test_total_is_the_weighted_sum_of_the_chosen_term_by_hand(prompts, rollouts, reward, expected):
    rewards = Rewards(Named(prompts), rollouts, config(reward=reward, accuracy_weight=0.8, valid_weight=0.3))
    length, valid = (0.25, 0.5) if reward == "accuracy" else (1.0, 0.0)
    terms = {"accuracy": 0.5, "probability": 0.4, "gain": -0.3, "length": length, "valid": valid}
    total = rewards.total({name: np.array([value]) for name, value in terms.items()})
    np.testing.assert_allclose(total, [expected])


def test_equal_groups_asks_the_chosen_term_alone(prompts, rollouts):
    terms = {
        "accuracy": np.array([1.0, 1.0, 1.0, 0.0]),
        "probability": np.array([0.5, 0.6, 0.5, 0.5005]),
        "length": np.array([0.0, 1.0, 0.0, 1.0]),
    }
    by = {name: Rewards(Named(prompts), rollouts, config(reward=name)) for name in ("accuracy", "probability")}
    assert by["accuracy"].equal_groups(terms, 2).tolist() == [True, False]
    assert by["probability"].equal_groups(terms, 2).tolist() == [False, True]


def test_figures_by_hand(prompts, rollouts):
    rewards = Rewards(Named(prompts), rollouts, config(valid_weight=0.0))
    texts = ["<item:d>", "<item:d>", "<item:e>", ""]
    terms = rewards.terms(texts, [0, 0, 1, 1], 0, ["<e9>", "<item:a>", "", "<e1> <e1>"])
    figures = rewards.figures(terms, texts, group_size=2)
    assert figures["probability"] == pytest.approx((3 * 0.6 + 1 / 3) / 4)
    assert figures["valid"] == pytest.approx((0 + 1 + 1 + 0.5) / 4)
    assert figures["equal_groups"] == 0.5  # both samples of u name the truth
    assert figures["distinct"] == 0.5
    assert figures["empty"] == 0.25
    assert figures["reward"] == pytest.approx(0.9 * figures["probability"] + 0.1 * figures["length"])


def test_length_plateau_by_hand():
    earned = length_plateau(np.array([0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0, 1.4]))
    np.testing.assert_allclose(earned, [0, 0.5, 1, 1, 1, 0.5, 0, 0], atol=1e-9)


def test_length_of_an_empty_log_earns_nothing(prompts, rollouts):
    empty = replace(rollouts, histories=[history("u", ""), rollouts.histories[1]])
    ratio = Rewards(Named(prompts), empty, config()).ratio([""], [0])
    assert ratio.tolist() == length_plateau(ratio).tolist() == [0.0]


def test_ratio_counts_each_text_against_the_log_of_its_own_row(prompts, rollouts):
    judge = Named(prompts)
    rewards = Rewards(judge, rollouts, config())
    texts = ["<item:d>", "<item:d> <item:e>", "<item:d>"]
    alone = [rewards.ratio([text], [row])[0] for text, row in zip(texts, [1, 0, 0], strict=True)]
    np.testing.assert_allclose(rewards.ratio(texts, [1, 0, 0]), alone)
    assert alone[1] == 2 * alone[2] > 0
    assert rewards.ratio([], []).tolist() == []
    assert judge.shown == []  # nothing is judged to count tokens


@pytest.mark.parametrize(
    ("completion", "share"),
    [
        ("", 1.0),
        ("likes crime", 1.0),
        ("<e1> <e3>", 1.0),
        ("<e1> <e1>", 1 / 2),  # cited before
        ("<e0> <e4> <e2>", 1 / 3),  # three events were shown
        ("<item:a> <item:z>", 1 / 2),  # z is not in the log
        ("<e1> <category> <item:c> <item:c> <e7>", 3 / 4),
    ],
)
def test_valid_share_by_hand(completion, share):
    assert valid_share(completion, HISTORIES[0].events) == pytest.approx(share)


references = st.one_of(st.integers(0, 6).map(lambda number: f"<e{number}>"), st.sampled_from("abzd").map(mention))


@given(st.lists(references, max_size=8))
def test_valid_share_counts_what_resolve_keeps(words):
    events, completion = HISTORIES[0].events, " ".join(words)
    kept = mentioned(resolve(completion, events, Facts({}, Config().data)))
    assert valid_share(completion, events) == pytest.approx(len(kept) / len(words) if words else 1.0)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=6))
def test_distinct_share_is_zero_for_one_text_and_one_for_all_different(group):
    share = distinct_share(group, len(group))
    assert (share == 0.0) == (len(set(group)) == 1)
    assert (share == 1.0) == (len(set(group)) == len(group))


def test_distinct_share_by_hand():
    assert distinct_share(list("aabccc"), 3) == pytest.approx(0.25)
