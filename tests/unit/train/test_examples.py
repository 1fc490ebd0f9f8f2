import numpy as np
import polars as pl
import pytest

from raconteur.data.dataset import load_dataset
from raconteur.data.takes import takes_before
from raconteur.errors import DataError
from raconteur.train.choice import draw_targets, histories_of
from raconteur.train.examples import NegativeSampler, catalogue, choices, training_log


def test_training_log_ends_before_every_validation_target(small):
    data = small.workdir / "data"
    log = training_log(load_dataset(data))
    limits = pl.read_parquet(data / "split.parquet").filter(pl.col("split") == "validation")
    joined = log.events.join(limits.select("user_id", limit="position"), on="user_id")
    assert (joined["position"] < joined["limit"]).all()
    assert log.targets.height > 0


def test_training_log_discovery_is_the_first_touch_of_any_kind(small):
    data = small.workdir / "data"
    log = training_log(load_dataset(data))
    first = {
        (u, i): p for u, i, p in log.events.group_by("user_id", "item_id").agg(pl.col("position").min()).iter_rows()
    }
    for user, position, item, discovery in log.targets.iter_rows():
        assert discovery == (first[user, item] == position)


def test_histories_of_target_is_not_in_its_history(small):
    data = small.workdir / "data"
    log = training_log(load_dataset(data))
    targets = draw_targets(log, 50, np.random.default_rng(0))
    for history, position in zip(histories_of(log, targets, 10_000), targets["position"], strict=True):
        assert len(history.events) == position


def test_takes_before_matches_a_plain_loop(small):
    data = small.workdir / "data"
    dataset = load_dataset(data)
    rows = choices(dataset, "test", "popularity")
    for user, position, taken in zip(
        rows["user_id"], rows["position"], takes_before(dataset.events, rows), strict=True
    ):
        before = dataset.events.filter(
            (pl.col("user_id") == user) & (pl.col("position") < position) & pl.col("is_target")
        )["item_id"].to_list()
        assert taken == [item for index, item in enumerate(before) if index == 0 or before[index - 1] != item]


def test_negative_sampler_draws_distinct_items_that_the_user_never_touched(small):
    data = small.workdir / "data"
    dataset = load_dataset(data)
    log = training_log(dataset)
    item_ids = tuple(catalogue(dataset))
    sampler = NegativeSampler(log, item_ids)
    few = log.events.group_by("user_id").agg(pl.col("item_id").n_unique()).sort("item_id", "user_id")["user_id"]
    users = np.array([sampler.users[user] for user in (few[0], few[1], few[1], few[5])])
    drawn = sampler.draw(users, 5, np.random.default_rng(1))
    names = {number: user for user, number in sampler.users.items()}
    for number, row in zip(users, drawn, strict=True):
        touched = set(log.events.filter(pl.col("user_id") == names[int(number)])["item_id"])
        assert len(set(row)) == 5
        assert touched.isdisjoint({item_ids[item] for item in row})


def test_negative_sampler_more_negatives_than_items_are_refused(small):
    dataset = load_dataset(small.workdir / "data")
    item_ids = tuple(catalogue(dataset))
    sampler = NegativeSampler(training_log(dataset), item_ids)
    assert sampler.draw(np.array([0]), len(item_ids) - 1, np.random.default_rng(0)).shape == (1, len(item_ids) - 1)
    with pytest.raises(DataError, match=r"60 negatives beside a true item, but the catalogue has 60 items"):
        sampler.draw(np.array([0]), len(item_ids), np.random.default_rng(0))
