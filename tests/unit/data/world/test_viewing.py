import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.config.schema import WorldConfig
from raconteur.data.world.rows import INTENDED
from raconteur.data.world.space import ITEM_STEP, on_grid, unit
from raconteur.data.world.viewing import SESSION_WEIGHT, TASTE_WEIGHT, _softmax_draw, utilities
from raconteur.data.world.write import simulate


def test_utilities_two_items_match_hand_worked_values() -> None:
    tastes, last = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    vectors = np.array([[1.0, 0.0], [0.5, 0.75]], np.float32)
    scores = utilities(tastes, vectors, np.array([0.5, -0.5], np.float32), last)
    expected = [[TASTE_WEIGHT + 0.5, 0.5 * TASTE_WEIGHT + 0.75 * SESSION_WEIGHT - 0.5]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


@given(st.integers(0, 1000))
def test_utilities_order_of_the_sums_does_not_matter_to_the_last_bit(seed: int) -> None:
    # So the number of BLAS threads cannot change a choice.
    rng = np.random.default_rng(seed)
    tastes, last = (rng.normal(size=(5, 16)).astype(np.float32) / 4 for _ in range(2))
    vectors, order = on_grid(unit(rng.normal(size=(9, 16))), ITEM_STEP), rng.permutation(16)
    straight = utilities(tastes, vectors, np.zeros(9, np.float32), last)
    mixed = utilities(tastes[:, order], vectors[:, order], np.zeros(9, np.float32), last[:, order])
    np.testing.assert_array_equal(straight, mixed)


def test_softmax_draw_even_luck_gives_softmax_shares() -> None:
    scores = np.tile(np.log(np.array([1.0, 2.0, 1.0], np.float32)), (1000, 1))
    drawn = _softmax_draw(scores, (np.arange(1000) + 0.5) / 1000)
    np.testing.assert_array_equal(np.bincount(drawn), [250, 500, 250])


@given(st.lists(st.sampled_from([-np.inf, -3.0, 0.0, 5.0]), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_softmax_draw_never_takes_an_impossible_item(row: list[float], luck: float) -> None:
    scores = np.array([[*row, 1.0]], np.float32)
    assert np.isfinite(scores[0, _softmax_draw(scores, np.array([luck]))[0]])


def test_intended_films_are_new_and_episodes_follow_each_other(told_events: pl.DataFrame) -> None:
    own = told_events.filter(pl.col("cause") == "intended").sort("user_id", "event_time")
    episode = (
        pl.col("context").list.eval(pl.element().filter(pl.element().struct.field("key") == "episode")).list.first()
    )
    own = own.with_columns(episode.struct.field("value").alias("episode"))
    films = own.filter(pl.col("episode").is_null())
    assert films.select(pl.struct("user_id", "item_id").is_unique().all()).item()
    numbers = own.drop_nulls("episode").with_columns(
        pl.col("episode").str.extract(r"S(\d+)E", 1).cast(int).alias("season"),
        pl.col("episode").str.extract(r"E(\d+)", 1).cast(int).alias("number"),
    )
    for (_, _), started in numbers.group_by("user_id", "item_id", maintain_order=True):
        order = list(started.select("season", "number").iter_rows())
        assert order == sorted(set(order))
        assert order[0] == (1, 1)


def test_sessions_of_a_person_do_not_overlap() -> None:
    rows = simulate(WorldConfig(num_users=150, num_items=100, num_days=20, mean_intents=25.0)).rows
    own = rows[rows["cause"] == INTENDED]
    own = own[np.lexsort((own["time"], own["user"]))]
    end = own["time"] + (own["value"] * 60e6).astype(np.int64)
    same = own["user"][1:] == own["user"][:-1]
    overlapping = same & (own["time"][1:] < end[:-1])
    assert overlapping.mean() == pytest.approx(0, abs=0.01)  # only a session too long for its day


def test_evenings_are_busier_than_mornings(told_events: pl.DataFrame) -> None:
    hours = told_events.filter(pl.col("cause") == "intended")["event_time"].dt.hour()
    assert hours.is_between(18, 23).mean() > 4 * hours.is_between(4, 9).mean()
