from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raconteur import columns
from raconteur.data.candidates import NegativeKind, draw_candidates, sample_users
from raconteur.data.dataset import CANDIDATES
from raconteur.data.splits import leave_one_out, order_events
from raconteur.errors import DataError
from raconteur.retrieve.popularity import Popularity


def catalogue(ids: str, *, gone: str = "") -> pl.DataFrame:
    return pl.DataFrame({columns.ITEM_ID: list(ids), columns.AVAILABLE: [item not in gone for item in ids]})


def draw(events: pl.DataFrame, items: pl.DataFrame, num_candidates: int, kind: str, seed: int = 0) -> pl.DataFrame:
    ordered = order_events(events, targets=["play"], min_value=None)
    split = leave_one_out(ordered)
    return draw_candidates(
        ordered, items, split, users=split[columns.USER_ID], num_candidates=num_candidates, kinds=[kind], seed=seed
    )


@pytest.fixture
def crowd(make_events: Callable) -> pl.DataFrame:
    """1,500 users take a, b, c; for training stay each one's first take and users who take d or e and no more."""
    takers = [(f"u{user}", item, second) for user in range(1500) for second, item in enumerate("abc")]
    fans = [(f"d{user}", "d", 1) for user in range(30)] + [(f"e{user}", "e", 1) for user in range(10)]
    return make_events([*takers, *fans])


def test_draw_candidates_truth_is_at_its_index(crowd: pl.DataFrame) -> None:
    lists = draw(crowd, catalogue("abcdefg"), 3, "uniform")
    assert lists.schema == CANDIDATES
    assert (
        lists.select(pl.col(columns.CANDIDATES).list.get(pl.col(columns.TRUTH)))
        .to_series()
        .equals(lists[columns.ITEM_ID], check_names=False)
    )


def test_draw_candidates_popularity_draws_in_proportion_to_training_takes(crowd: pl.DataFrame) -> None:
    # Of the untouched items only d (30 takes) and e (10) were ever taken: d is drawn three times of four.
    lists = draw(crowd, catalogue("abcdefg"), 2, "popularity")
    negatives = lists.explode(columns.CANDIDATES).filter(pl.col(columns.CANDIDATES) != pl.col(columns.ITEM_ID))
    shares = dict(negatives[columns.CANDIDATES].value_counts(normalize=True).iter_rows())
    assert set(shares) == {"d", "e"}
    assert shares["d"] == pytest.approx(0.75, abs=0.03)  # 3,000 draws: standard error 0.008


def test_draw_candidates_never_taken_items_fill_up_when_others_are_used(crowd: pl.DataFrame) -> None:
    lists = draw(crowd, catalogue("abcdefg"), 4, "popularity")
    assert lists.select(pl.col(columns.CANDIDATES).list.contains("d").all()).item()
    assert lists.select(pl.col(columns.CANDIDATES).list.contains("e").all()).item()


def test_draw_candidates_uniform_draws_evenly_and_truth_place_is_even(crowd: pl.DataFrame) -> None:
    lists = draw(crowd, catalogue("abcdefg"), 2, "uniform")
    negatives = lists.explode(columns.CANDIDATES).filter(pl.col(columns.CANDIDATES) != pl.col(columns.ITEM_ID))
    shares = negatives[columns.CANDIDATES].value_counts(normalize=True)
    assert sorted(shares[columns.CANDIDATES]) == list("defg")
    assert shares["proportion"].to_list() == pytest.approx([0.25] * 4, abs=0.04)
    assert lists[columns.TRUTH].mean() == pytest.approx(0.5, abs=0.04)


def test_draw_candidates_unavailable_item_is_no_negative(crowd: pl.DataFrame) -> None:
    lists = draw(crowd, catalogue("abcdefg", gone="dg"), 3, "uniform")
    assert not lists.select(pl.col(columns.CANDIDATES).list.set_intersection(["d", "g"]).list.len().sum()).item()


def test_draw_candidates_same_seed_same_lists_other_seed_others(crowd: pl.DataFrame) -> None:
    first, again, other = (draw(crowd, catalogue("abcdefg"), 3, "uniform", seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_draw_candidates_user_who_touched_too_much_has_no_list(make_events: Callable) -> None:
    rows = [("u", item, second) for second, item in enumerate("abc")]
    rows += [("v", item, second) for second, item in enumerate("abcde")]
    lists = draw(make_events(rows), catalogue("abcdef"), 3, "uniform")
    assert lists[columns.USER_ID].unique().to_list() == ["u"]


def test_draw_candidates_catalogue_too_small_for_everyone_fails(make_events: Callable) -> None:
    events = make_events([("u", item, second) for second, item in enumerate("abc")])
    with pytest.raises(DataError, match=r"no user left 9 of 5 available items .*lower evaluate.num_candidates"):
        draw(events, catalogue("abcde"), 10, "uniform")


@pytest.mark.parametrize("kind", ["popularity", "uniform", "retrieved"])
def test_draw_candidates_other_kinds_leave_one_as_it_is(crowd: pl.DataFrame, kind: NegativeKind) -> None:
    ordered = order_events(crowd, targets=["play"], min_value=None)
    split = leave_one_out(ordered)
    one, all_kinds = (
        draw_candidates(
            ordered,
            catalogue("abcdefg"),
            split,
            users=split[columns.USER_ID],
            num_candidates=3,
            kinds=kinds,
            seed=0,
            fit_retriever=Popularity.fit,
        )
        for kinds in ([kind], ["popularity", "retrieved", "uniform"])
    )
    assert all_kinds.filter(pl.col(columns.NEGATIVES) == kind).equals(one)


def test_draw_candidates_retriever_sees_training_takes_of_all_and_the_history_of_the_target(
    make_events: Callable,
) -> None:
    rows = [("u", item, second) for second, item in enumerate("abbcd")] + [("v", item, 1) for item in "xy"]
    events = order_events(make_events([*rows, ("u", "s", 9, "search", None)]), targets=["play"], min_value=None)
    split = leave_one_out(events)
    asked: list[list[str]] = []

    @dataclass
    class Alphabetical:
        """Ranks the catalogue backwards and remembers what it was given."""

        item_ids: tuple[str, ...]
        name: str = "alphabetical"

        def score(self, histories: list[list[str]]) -> np.ndarray:
            asked.extend(histories)
            return np.tile(np.arange(len(self.item_ids), dtype=np.float32), (len(histories), 1))

    def fit(sequences: list[list[str]], item_ids: list[str]) -> Alphabetical:
        assert sequences == [["a", "b"], ["x", "y"]]  # u: before the validation target c, the repeated b once
        assert item_ids == list("abcdsxyz")  # w is gone
        return Alphabetical(tuple(item_ids))

    lists = draw_candidates(
        events,
        catalogue("abcdswxyz", gone="w"),
        split,
        users=pl.Series(["u"]),
        num_candidates=4,
        kinds=["retrieved"],
        seed=0,
        fit_retriever=fit,
    )
    assert asked == [["a", "b"], ["a", "b", "c"]]  # before validation, before the test
    # s was searched for, later than the target; it is touched all the same.
    assert [set(row) for row in lists[columns.CANDIDATES]] == [set("cxyz"), set("dxyz")]


def test_draw_candidates_retrieved_leaves_out_truths_that_the_retriever_misses(make_events: Callable) -> None:
    # Fan k takes the first 60 - k of sixty items, so that an earlier item is the more popular one.
    ids = [f"m{place:02}" for place in range(60)]
    fans = [(f"f{fan:02}", item, second) for fan in range(60) for second, item in enumerate(ids[: 60 - fan])]
    rows = [
        *(("in", item, second) for second, item in enumerate(["m00", "m01", "m51"])),
        *(("out", item, second) for second, item in enumerate(["m00", "m01", "m52"])),
        *(("gone", item, second) for second, item in enumerate(["m00", "m01", "x"])),
    ]
    events = order_events(make_events([*fans, *rows]), targets=["play"], min_value=None)
    items = pl.DataFrame({columns.ITEM_ID: [*ids, "x"], columns.AVAILABLE: [True] * 60 + [False]})
    split = leave_one_out(events)
    lists = draw_candidates(
        events,
        items,
        split,
        users=pl.Series(["in", "out", "gone"]),
        num_candidates=4,
        kinds=["retrieved"],
        seed=0,
        fit_retriever=Popularity.fit,
    )
    # Untouched before m51 are m02-m50, 49 items; before m52 they are 50; x is not in the catalogue.
    tests = lists.filter(pl.col(columns.SPLIT) == "test")
    assert tests.select(columns.USER_ID, columns.ITEM_ID).rows() == [("in", "m51")]
    # m01 comes second for all three: their validation targets keep their lists.
    assert sorted(lists.filter(pl.col(columns.SPLIT) == "validation")[columns.USER_ID]) == ["gone", "in", "out"]


def test_draw_candidates_retrieved_without_a_retriever_fails(crowd: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="prepare needs fit_retriever"):
        draw(crowd, catalogue("abcdefg"), 3, "retrieved")


@settings(max_examples=40)
@given(
    takes=st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdef")), min_size=1, max_size=30),
    kind=st.sampled_from(["popularity", "uniform"]),
    seed=st.integers(0, 5),
)
def test_draw_candidates_lists_are_distinct_and_hold_nothing_touched(takes: list, kind: str, seed: int) -> None:
    events = pl.DataFrame(
        {
            columns.USER_ID: [user for user, _ in takes],
            columns.ITEM_ID: [item for _, item in takes],
            columns.EVENT_TIME: range(len(takes)),
            columns.EVENT_TYPE: ["play"] * len(takes),
            columns.VALUE: [None] * len(takes),
        }
    )
    touched = {user: {item for taker, item in takes if taker == user} for user in "uvw"}
    ordered = order_events(events, targets=["play"], min_value=None)
    split = leave_one_out(ordered.with_columns(pl.col(columns.EVENT_TIME).cast(pl.Datetime("us", "UTC"))))
    lists = draw_candidates(
        ordered, catalogue("abcdefghij"), split, users=split[columns.USER_ID], num_candidates=5, kinds=[kind], seed=seed
    )
    assert lists.height == split.height  # ten items, at most six touched: four are always left
    for user, truth, candidates in lists.select(columns.USER_ID, columns.ITEM_ID, columns.CANDIDATES).iter_rows():
        assert len(set(candidates)) == len(candidates) == 5
        assert set(candidates) & touched[user] == {truth}


def test_sample_users_is_seeded_sorted_and_distinct() -> None:
    users = pl.Series([f"u{user:03}" for user in range(100)] * 2)
    sample = sample_users(users, 10, seed=3)
    assert len(sample) == sample.n_unique() == 10
    assert sample.is_sorted()
    assert sample.equals(sample_users(users.shuffle(seed=1), 10, seed=3))
    assert not sample.equals(sample_users(users, 10, seed=4))


def test_sample_users_few_users_are_all_kept() -> None:
    assert sample_users(pl.Series(["b", "a", "b"]), 5, seed=0).to_list() == ["a", "b"]
    assert sample_users(pl.Series(["b", "a", "b"]), None, seed=0).to_list() == ["a", "b"]


def test_draw_candidates_for_some_users_weighs_by_the_training_of_all(make_events: Callable) -> None:
    # x is the test item of every v, none of which is drawn for: it must not count as popular, y (one take) must.
    rows = [("u", item, second) for second, item in enumerate("abc")]
    rows += [(f"v{user}", item, second) for user in range(50) for second, item in enumerate("abx")]
    events = order_events(make_events([*rows, ("w", "y", 1)]), targets=["play"], min_value=None)
    lists = draw_candidates(
        events,
        catalogue("abcxy"),
        leave_one_out(events),
        users=pl.Series(["u"]),
        num_candidates=2,
        kinds=["popularity"],
        seed=0,
    )
    assert lists[columns.USER_ID].to_list() == ["u", "u"]
    assert [sorted(candidates) for candidates in lists[columns.CANDIDATES]] == [["b", "y"], ["c", "y"]]
