import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from raconteur.retrieve.contributions import contributions
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.fusion import FusedRetriever, reciprocal_ranks, standardised
from raconteur.retrieve.linear import Linear
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.neighbours import Neighbours
from raconteur.retrieve.popularity import Popularity

ITEMS = ("alien", "brazil", "clue", "dune")
COLUMN = {item: column for column, item in enumerate(ITEMS)}
LINKS = np.array([[0, 3, -1, 2], [1, 0, 4, 0], [2, 2, 0, 1], [0.5, 1, 3, 0]], dtype=np.float32)
SEQUENCES = [["alien", "brazil", "clue"], ["alien", "brazil"], ["dune", "alien"], ["clue", "dune", "clue"]]
HISTORIES = st.lists(st.sampled_from([*ITEMS, "ghost"]), max_size=20)
MODELS = {
    "ease": lambda: Ease.fit(SEQUENCES, ITEMS, regularisation=1.0, decay=1.0),
    "ease_recent": lambda: Ease.fit(SEQUENCES, ITEMS, regularisation=1.0),
    "linear": lambda: Linear.fit(SEQUENCES, ITEMS, regularisation=1.0),
    "markov": lambda: Markov.fit(SEQUENCES, ITEMS),
    "markov_discounted": lambda: Markov.fit(SEQUENCES, ITEMS, discount_popular=True),
}


def told(retriever, history, asked=ITEMS):
    return contributions(retriever, history, asked, column=COLUMN)


def test_contributions_ease_by_hand():
    # brazil is the newest item and weighs 1, alien weighs .5: their links to clue are 4 and -1, to dune 0 and 2.
    found = told(Ease(ITEMS, LINKS, decay=0.5), ["brazil", "alien", "brazil"], ["clue", "dune"])
    assert found == [{"alien": -0.5, "brazil": 4.0}, {"alien": 1.0}]


def test_contributions_linear_repeats_add_up():
    # alien weighs 1 + .8^2 = 1.64, brazil .8.
    (found,) = told(Linear(ITEMS, LINKS), ["alien", "brazil", "alien"], ["dune"])
    assert found == {"alien": pytest.approx(1.64 * 2)}


def test_contributions_markov_asks_with_the_last_five():
    model = Markov(ITEMS, csr_array(np.abs(LINKS)), discounted=False)
    (found,) = told(model, ["dune", *["brazil"] * 4, "alien"], ["clue"])
    assert found == {"alien": pytest.approx(1.0), "brazil": pytest.approx(4 * (0.7 + 0.7**2 + 0.7**3 + 0.7**4))}


@pytest.mark.parametrize("name", MODELS)
@given(history=HISTORIES)
@settings(max_examples=30)
def test_contributions_of_an_item_item_model_sum_to_its_score(name, history):
    model = MODELS[name]()
    sums = [sum(one.values()) for one in told(model, history)]
    np.testing.assert_allclose(sums, model.score([history])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["learned", "reciprocal"])
@given(history=HISTORIES)
@settings(max_examples=30)
def test_contributions_of_a_fusion_sum_to_what_its_item_item_parts_say_for_the_item(method, history):
    parts = {name: MODELS[name]() for name in ("ease_recent", "markov", "linear")}
    weights = np.array([1.0, 0.5, -0.3])  # a part of negative weight speaks for nothing
    fused = FusedRetriever({**parts, "popularity": Popularity.fit(SEQUENCES, ITEMS)}, np.append(weights, 2.0), method)
    scores = np.stack([parts[name].score([history]) for name in ("ease_recent", "markov")])
    said = reciprocal_ranks(scores) if method == "reciprocal" else standardised(scores, ["ease_recent", "markov"])
    expected = np.zeros(len(ITEMS))
    for weight, part, row in zip(weights, ("ease_recent", "markov"), said[:, 0], strict=False):
        brought = [any(added > 0 for added in one.values()) for one in told(parts[part], history)]
        expected += weight * np.maximum(row, 0.0) * brought
    found = told(fused, history)
    np.testing.assert_allclose([sum(one.values()) for one in found], expected, rtol=1e-3, atol=1e-3)
    assert all(added > 0 for one in found for added in one.values())


def test_contributions_of_a_fusion_divide_a_parts_say_in_proportion():
    fused = FusedRetriever({"ease": Ease(ITEMS, LINKS, decay=1.0)}, np.array([2.0]))
    # alien and clue link to brazil by 3 and 2, to the others by (2, 0), (-1, 0) and (2, 1): scores 2, 5, -1, 3.
    (found,) = told(fused, ["alien", "clue"], ["brazil"])
    z = (5 - 2.25) / np.std([2, 5, -1, 3])
    assert found == {"alien": pytest.approx(2 * z * 3 / 5, rel=1e-5), "clue": pytest.approx(2 * z * 2 / 5, rel=1e-5)}


@pytest.mark.parametrize(
    "retriever",
    [
        Popularity.fit(SEQUENCES, ITEMS),
        Neighbours.fit(SEQUENCES, ITEMS),
        FusedRetriever({"popularity": Popularity.fit(SEQUENCES, ITEMS)}, np.ones(1)),
    ],
    ids=lambda retriever: retriever.name,
)
def test_contributions_of_other_retrievers_are_empty(retriever):
    assert told(retriever, ["alien"], ["clue", "ghost"]) == [{}, {}]


@pytest.mark.parametrize("name", MODELS)
def test_contributions_unknown_items_repeats_and_empty_histories(name):
    model = MODELS[name]()
    assert told(model, ["ghost"]) == told(model, []) == [{}] * 4
    assert told(model, ["alien"], []) == []
    (one,) = told(model, ["alien", "ghost"], ["brazil"])
    assert told(model, ["alien"], ["brazil", "ghost", "brazil"]) == [one, {}, one]
