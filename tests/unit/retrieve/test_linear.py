import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.errors import ConfigError
from raconteur.retrieve import linear
from raconteur.retrieve.linear import Linear

ITEMS = ["a", "b", "c"]


def test_linear_fit_one_step_is_the_ridge_solution():
    # one step: X = e_a, Y = e_b, so B[a, b] = 1 / (1 + lambda)
    model = Linear.fit([["a", "b"]], ITEMS, regularisation=1.0)
    np.testing.assert_allclose(model.score([["a"]])[0], [0.0, 0.5, 0.0], atol=1e-6)


def test_linear_fit_knows_the_direction():
    model = Linear.fit([["a", "b"]] * 3, ITEMS, regularisation=1.0)
    assert model.score([["b"]])[0].tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.lists(st.sampled_from([*ITEMS, "ghost"]), max_size=20), max_size=6), st.floats(0.5, 50.0))
def test_linear_fit_is_the_dense_normal_equation(log, regularisation):
    rows, targets = [], []
    for sequence in ([item for item in row if item != "ghost"] for row in log):
        for step in range(1, len(sequence)):
            row = np.zeros(3)
            for age, item in enumerate(sequence[:step][::-1][: linear.NEWEST]):
                row[ITEMS.index(item)] += linear.DECAY**age
            rows.append(row)
            targets.append(np.eye(3)[ITEMS.index(sequence[step])])
    X, Y = np.array(rows).reshape(-1, 3), np.array(targets).reshape(-1, 3)
    expected = np.linalg.solve(X.T @ X + regularisation * np.eye(3), X.T @ Y)
    np.testing.assert_allclose(Linear.fit(log, ITEMS, regularisation=regularisation).weights, expected, atol=1e-4)


def test_linear_fit_in_pieces_is_the_same(monkeypatch):
    log = [["a", "b", "c"], ["b", "a"], ["c", "c", "a"]]
    whole = Linear.fit(log, ITEMS).weights
    monkeypatch.setattr(linear, "SEQUENCES", 1)
    np.testing.assert_allclose(Linear.fit(log, ITEMS).weights, whole, atol=1e-7)


@pytest.mark.parametrize("regularisation", [0.0, -1.0, float("nan")])
def test_linear_fit_without_regularisation_is_refused(regularisation):
    with pytest.raises(ConfigError, match="is not positive"):
        Linear.fit([["a", "b"]], ITEMS, regularisation=regularisation)
