import numpy as np
import polars as pl
import pytest

from raconteur.errors import DataError
from raconteur.evaluate.arms import SCHEMA, Cost, arm_rows, difference_metrics, read_arms

SCORES = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
TRUTH = np.zeros(4, dtype=int)
MASKS = {
    "all": np.ones(4, dtype=bool),
    "cold": np.array([True, True, False, False]),
    "long_tail": np.zeros(4, dtype=bool),
}


def test_arm_rows_worked_by_hand_one_row_a_slice_with_users():
    table = arm_rows("ease", SCORES, TRUTH, MASKS, cost=Cost(tokens_in=12.0, ms_per_user=0.5))
    assert table.schema == SCHEMA
    assert table["slice"].to_list() == ["all", "cold"]
    assert table["num_users"].to_list() == [4, 2]
    assert table["recall_at_1"].to_list() == pytest.approx([(1 + 0 + 1 + 0.5) / 4, 0.5])
    assert table["mrr"].to_list() == pytest.approx([(1 + 0.5 + 1 + 0.75) / 4, 0.75])
    assert table["tokens_in"].to_list() == [12.0, 12.0]
    assert table["tokens_out"].to_list() == [None, None]


def test_difference_metrics_name_arm_base_slice_and_part():
    outcomes = {"rewrite": np.array([1.0, 1.0, 1.0, 0.0]), "template": np.array([1.0, 0.0, 1.0, 0.0])}
    metrics = difference_metrics("rewrite", "template", outcomes, MASKS)
    assert metrics["difference/rewrite/template/all/value"] == pytest.approx(0.25)
    assert metrics["difference/rewrite/template/all/relative"] == pytest.approx(0.5)
    assert metrics["difference/rewrite/template/cold/value"] == pytest.approx(0.5)
    assert metrics["difference/rewrite/template/cold/low"] <= 0.5 <= metrics["difference/rewrite/template/cold/high"]
    assert not any("long_tail" in key for key in metrics)


def test_difference_metrics_base_of_zero_has_no_relative_part():
    metrics = difference_metrics("a", "b", {"a": np.ones(4), "b": np.zeros(4)}, {"all": np.ones(4, dtype=bool)})
    assert set(metrics) == {f"difference/a/b/all/{part}" for part in ("value", "low", "high")}


def test_difference_metrics_infinite_end_is_left_out():
    outcomes = {"a": np.ones(5), "b": np.array([1.0, 0.0, 0.0, 0.0, 0.0])}  # a third of the resamples have no hit in b
    metrics = difference_metrics("a", "b", outcomes, {"all": np.ones(5, dtype=bool)})
    assert "difference/a/b/all/relative_low" in metrics
    assert "difference/a/b/all/relative_high" not in metrics


def test_read_arms_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="raconteur evaluate"):
        read_arms(tmp_path / "arms.parquet")


def test_read_arms_missing_column_is_named(tmp_path):
    arm_rows("ease", SCORES, TRUTH, MASKS).drop("mrr").write_parquet(tmp_path / "arms.parquet")
    with pytest.raises(DataError, match="lacks the columns mrr"):
        read_arms(tmp_path / "arms.parquet")


def test_read_arms_round_trip_keeps_the_table(tmp_path):
    table = arm_rows("ease", SCORES, TRUTH, MASKS)
    table.write_parquet(tmp_path / "arms.parquet")
    assert read_arms(tmp_path / "arms.parquet").equals(table)


def test_read_arms_other_types_are_refused(tmp_path):
    table = arm_rows("ease", SCORES, TRUTH, MASKS).with_columns(num_users=pl.lit("many"))
    table.write_parquet(tmp_path / "arms.parquet")
    with pytest.raises(DataError, match="column of another type"):
        read_arms(tmp_path / "arms.parquet")
