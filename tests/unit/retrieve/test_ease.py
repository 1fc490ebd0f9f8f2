from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raconteur.errors import ConfigError
from raconteur.retrieve.ease import Ease

ITEMS = ["a", "b", "c", "d"]
logs = st.lists(st.lists(st.sampled_from(ITEMS), max_size=6), min_size=1, max_size=8)


def test_ease_two_items_matches_the_closed_form_by_hand():
    # X'X = [[2, 1], [1, 1]], lambda 1: P = inverse of [[3, 1], [1, 2]] = [[2, -1], [-1, 3]] / 5,
    # so B_ab = -P_ab / P_bb = 1/3 and B_ba = 1/2
    model = Ease.fit([["a", "b"], ["a"]], ["a", "b"], regularisation=1.0)
    np.testing.assert_allclose(model.weights, [[0, 1 / 3], [1 / 2, 0]], rtol=1e-6)


@settings(max_examples=30)
@given(logs)
def test_ease_any_log_matches_the_textbook_formula(log):
    x = np.array([[float(item in row) for item in ITEMS] for row in log])
    p = np.linalg.inv(x.T @ x + 2.0 * np.eye(4))
    expected = np.eye(4) - p / np.diag(p)
    np.testing.assert_allclose(Ease.fit(log, ITEMS, regularisation=2.0).weights, expected, atol=1e-5)


def test_ease_wide_catalogue_is_solved_across_blocks():
    rng = np.random.default_rng(0)
    items = [str(number) for number in range(600)]  # more than one block of GRAM_ROWS
    log = [list(rng.choice(items, size=20, replace=False)) for _ in range(40)]
    x = np.array([[float(item in set(row)) for item in items] for row in log])
    p = np.linalg.inv(x.T @ x + 5.0 * np.eye(600))
    expected = np.eye(600) - p / np.diag(p)
    np.testing.assert_allclose(Ease.fit(log, items, regularisation=5.0).weights, expected, atol=1e-4)


def test_ease_score_weighs_the_newest_item_most_and_a_repeat_once():
    model = replace(Ease.fit([["a"]], ITEMS), weights=np.diag([1, 1, 1, 1]).astype(np.float32), decay=0.5)
    # distinct items, newest first: a (its second take), c, b
    assert model.score([["a", "b", "c", "a"]]).tolist() == [[1.0, 0.25, 0.5, 0.0]]


def test_ease_plain_from_a_faded_one_needs_no_second_fit():
    faded = Ease.fit([["a", "b"], ["b", "c"]], ITEMS)
    plain = replace(faded, decay=1.0)
    assert (faded.name, plain.name) == ("ease_recent", "ease")
    assert plain.weights is faded.weights


def test_ease_empty_history_is_flat():
    assert Ease.fit([["a", "b"]], ITEMS).score([[]]).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("regularisation", [0.0, -1.0, float("nan")])
def test_ease_regularisation_not_positive_is_refused(regularisation):
    with pytest.raises(ConfigError, match="regularisation"):
        Ease.fit([["a"]], ITEMS, regularisation=regularisation)


def test_ease_decay_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="decay"):
        Ease.fit([["a"]], ITEMS, decay=1.5)
