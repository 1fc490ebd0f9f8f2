from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raconteur.data.world.oracle import load_oracle
from raconteur.data.world.streams import START
from raconteur.errors import DataError


def test_oracle_beats_popularity_among_popular_negatives(small_world: Path, told_events: pl.DataFrame) -> None:
    intended = told_events.filter(pl.col("cause") == "intended").sort("user_id", "event_time", maintain_order=True)
    intended = intended.with_columns(pl.col("item_id").shift(1).over("user_id").alias("last"))
    first = intended.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    targets = first.group_by("user_id", maintain_order=True).last()
    counts = dict(intended["item_id"].value_counts().iter_rows())
    touched = dict(told_events.group_by("user_id").agg(pl.col("item_id").unique()).iter_rows())
    rng = np.random.default_rng(0)
    candidates = []
    for user, truth in targets.select("user_id", "item_id").iter_rows():
        pool = sorted(set(counts) - set(touched[user]))
        odds = np.array([counts[item] for item in pool], float)
        candidates.append([truth, *rng.choice(pool, 9, replace=False, p=odds / odds.sum())])
    scores = load_oracle(small_world).score(
        targets["user_id"].to_list(), targets["event_time"].to_list(), candidates, targets["last"].to_list()
    )
    popularity = np.array([[counts[item] for item in row] for row in candidates])
    oracle_recall = (scores.argmax(axis=1) == 0).mean()
    popularity_recall = (popularity.argmax(axis=1) == 0).mean()
    assert scores.shape == (targets.height, 10)
    assert oracle_recall > 0.6
    assert popularity_recall < 0.25


def test_oracle_score_follows_last_item_and_day(small_world: Path) -> None:
    oracle = load_oracle(small_world)
    users, items = list(oracle.users), list(oracle.items)[:6]
    ask = lambda time, last: oracle.score([users[0]], [time], [items], [last])[0]  # noqa: E731
    start = START + timedelta(hours=20)
    assert not np.allclose(ask(start, None), ask(start, items[0]), equal_nan=True)
    finite = np.isfinite(ask(start, None))
    assert not np.allclose(ask(start, None)[finite], ask(start + timedelta(days=20), None)[finite])
    np.testing.assert_array_equal(ask(start - timedelta(days=99), None), ask(start, None))


def test_oracle_order_of_candidates_does_not_matter(small_world: Path) -> None:
    oracle = load_oracle(small_world)
    user, items = list(oracle.users)[3], list(oracle.items)[:8]
    forward, backward = (oracle.score([user], [START], [row], [None])[0] for row in (items, items[::-1]))
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-5)


def test_oracle_unknown_item_scores_nan_and_unknown_user_is_refused(small_world: Path) -> None:
    oracle = load_oracle(small_world)
    scores = oracle.score([next(iter(oracle.users))], [START], [["nothing", next(iter(oracle.items))]], ["nothing"])
    assert np.isnan(scores[0, 0])
    assert not np.isnan(scores[0, 1])
    with pytest.raises(DataError, match="no user 'stranger'"):
        oracle.score(["stranger"], [START], [["t00000"]], [None])


def test_load_oracle_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="truth"):
        load_oracle(tmp_path)
