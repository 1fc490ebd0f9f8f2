from dataclasses import replace

import polars as pl
import pytest
from serving_world import write_version

from raconteur.config.schema import RouteConfig
from raconteur.errors import ArtifactError
from raconteur.features.names import ITEM_TABLE
from raconteur.guard.rules import Wanted
from raconteur.retrieve.ease import Ease
from serving.path.stock import Quest, Wish, load_stock, popular, retrieve

ANYTHING = Wish(Wanted())


@pytest.fixture
def version(tmp_path):
    write_version(tmp_path / "models", "v1")
    return tmp_path / "models" / "v1"


@pytest.fixture
def stock(version, tmp_path):
    return load_stock(version, tmp_path / "features", route=RouteConfig())


def ask(stock, taken, *, count, seen=(), wish=ANYTHING):
    return retrieve(stock, Quest(taken, seen, wish, count))


def ids(candidates):
    return [candidate.item_id for candidate in candidates]


def test_retrieve_best_unseen_available_items_come_first(stock):
    answer = ask(stock, ["i1"], seen={"i1"}, count=2)
    found, notes = answer.candidates, answer.notes
    assert notes == []
    assert [(one.item_id, one.score, one.source) for one in found] == [
        ("i2", 2.0, "popularity"),
        ("i3", 1.0, "popularity"),
    ]


def test_retrieve_more_than_there_is_gives_what_there_is(stock):
    assert ids(ask(stock, [], seen=["no such item"], count=50).candidates) == ["i1", "i2", "i3", "i4"]


def test_popular_without_a_feature_table_follows_the_retriever(stock):
    assert ids(popular(stock, seen=["i2"], wish=ANYTHING, count=2)) == ["i1", "i3"]


def test_popular_counts_the_newest_row_of_each_item(version, tmp_path):
    features = tmp_path / "features"
    features.mkdir()
    table = pl.DataFrame(
        {
            "item_id": ["i1", "i4", "i4", "i5"],
            "num_targets": [5, 1, 9, 99],  # i5 is the most taken one, but cannot be had
            "event_timestamp": [2, 1, 2, 2],
            "created": [1, 1, 1, 1],
        }
    )
    table.write_parquet(features / f"{ITEM_TABLE}.parquet")
    loaded = load_stock(version, features, route=RouteConfig())
    assert [(one.item_id, one.score) for one in popular(loaded, seen=(), wish=ANYTHING, count=3)] == [
        ("i4", 9.0),
        ("i1", 5.0),
        ("i2", 0.0),
    ]


def test_load_version_without_a_catalogue_is_refused(version, tmp_path):
    (version / "items.parquet").unlink()
    with pytest.raises(ArtifactError, match="is no catalogue"):
        load_stock(version, tmp_path, route=RouteConfig())


def test_stock_items_missing_from_the_catalogue_count_as_unavailable(version, tmp_path):
    items = pl.read_parquet(version / "items.parquet")
    items.filter(pl.col("item_id") != "i1").write_parquet(version / "items.parquet")
    loaded = load_stock(version, tmp_path, route=RouteConfig())
    assert loaded.rules.allowed(Wanted()).tolist() == [False, True, True, True, False]
    assert "i1" not in ids(ask(loaded, [], count=9).candidates)


def test_retrieve_item_that_only_the_catalogue_knows_is_found_by_its_text(version, tmp_path):
    items = pl.read_parquet(version / "items.parquet")
    newcomer = items.tail(1).with_columns(item_id=pl.lit("i6"), title=pl.lit("moon opera"), available=pl.lit(True))
    pl.concat([items, newcomer]).write_parquet(version / "items.parquet")
    loaded = load_stock(version, tmp_path, route=RouteConfig())
    assert "i6" not in ids(ask(loaded, ["i1"], count=9).candidates)
    found = ask(loaded, ["i1"], wish=Wish(Wanted(), query="opera"), count=2).candidates
    assert [(one.item_id, one.source) for one in found] == [("i6", "query"), ("i1", "popularity")]


def test_retrieve_tells_which_items_of_the_history_carried_what_it_found(stock):
    model = Ease.fit([["i1", "i2"], ["i1", "i2"], ["i3", "i1"]], ["i1", "i2", "i3"], regularisation=1.0)
    part = replace(stock, retriever=model, columns={"i1": 0, "i2": 1, "i3": 2})
    found = retrieve(part, Quest(("i4", "i1"), ("i1", "i4"), ANYTHING, 2))  # the model does not know i4
    assert ids(found.candidates)[0] == "i2"
    scores = dict(zip(model.item_ids, model.score([["i1"]])[0], strict=True))
    assert found.carried["i2"] == {"i1": pytest.approx(scores["i2"])}
