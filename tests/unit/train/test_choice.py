"""Batches and losses of a choice, on six films and two people."""

import numpy as np
import polars as pl
import pytest
import torch

from raconteur.errors import TrainingError
from raconteur.reason.choice import ChoiceModel
from raconteur.reason.prompts import LETTERS, Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.choice import choice_loss, draw_batch, encode_examples
from raconteur.train.examples import NegativeSampler, TrainingLog

TITLES = {"a": "Ash", "b": "Blue Hour", "c": "Clockmaker", "d": "Doors", "e": "Night Ferry", "f": "Snow"}
ITEMS = tuple(TITLES)
ARMS = [(inputs, head) for inputs in ("both", "tokens", "text") for head in ("pointer", "letters")]


@pytest.fixture(scope="module")
def sampler():
    """Both have seen a and b, so that negatives are the other four."""
    events = pl.DataFrame({"user_id": ["ann", "ann", "ben", "ben"], "item_id": ["a", "b", "b", "a"]})
    return NegativeSampler(TrainingLog(events, events, [["a", "b"], ["b", "a"]], []), ITEMS)


def prompts_of(inputs, head):
    tokenizer = train_tokenizer([" likes drama"] * 9, [*map(mention, ITEMS), *LETTERS], 270)
    return Prompts(tokenizer, history_tokens=30, inputs=inputs, head=head, titles=TITLES)


def examples_of(prompts, sampler):
    targets = pl.DataFrame({"user_id": ["ann", "ben"], "item_id": ["b", "a"]})
    return encode_examples(["likes <item:a>", "drama <item:b>"], targets, prompts, sampler, ITEMS)


@pytest.mark.parametrize(("inputs", "head"), ARMS)
def test_draw_batch_places_hold_the_candidates_in_order(sampler, inputs, head):
    prompts = prompts_of(inputs, head)
    examples = examples_of(prompts, sampler)
    batch = draw_batch(examples, prompts, sampler, 6, 2, np.random.default_rng(0))
    taken = {0: 1, 1: 0}  # what each of the two examples took, by item number
    for ids, choose, places, truth, candidates in zip(
        batch.ids_BL.tolist(), batch.choose_B, batch.places_BN.tolist(), batch.truth_B, batch.candidates_BN, strict=True
    ):
        example = examples.texts.index(ids[:choose])
        assert candidates[truth] == taken[example]
        for place, number in zip(places, candidates, strict=True):
            item = examples.items[number]
            assert ids[place + 1 - len(item) : place + 1] == item


@pytest.mark.parametrize(
    ("inputs", "head", "loss"),
    [*((*arm, "listwise") for arm in ARMS), ("both", "pointer", "pointwise"), ("both", "pointer", "grpo")],
)
def test_choice_loss_every_arm_learns_a_batch_by_heart(sampler, inputs, head, loss):
    prompts = prompts_of(inputs, head)
    shape = {"num_layers": 2, "width": 16, "num_heads": 2, "dropout": 0.0}
    torch.manual_seed(0)
    model = ChoiceModel(prompts.tokenizer.get_vocab_size(), **shape, inputs=inputs, head=head)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    batch = draw_batch(examples_of(prompts, sampler), prompts, sampler, 6, 2, rng)
    for _ in range(60):
        total, figures = choice_loss(model, batch, 0.0, rng, loss)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert figures["accuracy"] == 1.0


def test_choice_loss_same_generator_gives_the_same_loss(sampler):
    prompts = prompts_of("both", "pointer")
    examples = examples_of(prompts, sampler)
    model = ChoiceModel(prompts.tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)

    def once():
        rng = np.random.default_rng(5)
        return choice_loss(model, draw_batch(examples, prompts, sampler, 4, 2, rng), 0.1, rng, "grpo")[0].item()

    assert once() == once()


def test_encode_examples_item_of_another_catalogue_is_refused(sampler):
    targets = pl.DataFrame({"user_id": ["ann"], "item_id": ["b"]})
    with pytest.raises(TrainingError, match=r"knows 6 of 7 items \(not 'new'\)"):
        encode_examples([""], targets, prompts_of("both", "pointer"), sampler, (*ITEMS, "new"))
