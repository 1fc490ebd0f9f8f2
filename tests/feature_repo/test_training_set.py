import polars as pl
import pytest

from components.features.training_set import training_set


@pytest.fixture(scope="module")
def rows(store, data) -> dict[str, dict]:
    return {row["split"]: row for row in training_set(store, data).to_dicts()}


def test_training_set_validation_row_knows_only_what_came_before(rows):
    row = rows["validation"]
    assert (row["user_features__num_events"], row["user_features__mean_value"]) == (1, 60.0)
    assert row["user_features__recent_items"] == ["i1"]
    assert row["user_features__days_since_last"] == pytest.approx(20 / 24)


def test_training_set_test_row_of_the_same_second_adds_the_validation_target(rows):
    row = rows["test"]
    assert (row["user_features__num_events"], row["user_features__mean_value"]) == (2, 45.0)
    assert row["user_features__recent_items"] == ["i1", "i2"]


def test_training_set_item_counts_are_from_before_the_target(rows):
    # i2: bob's take at hour 3, not ann's own at hour 20; i3: hers is the first.
    assert rows["validation"]["item_features__num_targets"] == 1
    assert rows["test"]["item_features__num_targets"] == 0
    assert rows["test"]["item_features__available"] is False


def test_training_set_of_the_artefact_is_the_join(built, data):
    store, out, metrics = built
    written = pl.read_parquet(out / "training_set.parquet")
    assert written.equals(training_set(store, data))
    assert (metrics["num_training_rows"], metrics["known_share"]) == (2.0, 1.0)


def test_training_set_agrees_with_a_join_by_hand(built, data):
    _, out, _ = built
    table = pl.read_parquet(out / "tables" / "user_features.parquet")
    joined = pl.read_parquet(out / "training_set.parquet").sort("event_timestamp")
    by_hand = joined.select("user_id", "event_timestamp").join_asof(
        table.sort("event_timestamp"), on="event_timestamp", by="user_id", check_sortedness=False
    )
    assert by_hand["num_targets"].to_list() == joined["user_features__num_targets"].to_list()
