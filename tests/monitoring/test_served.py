from pathlib import Path

import polars as pl
import pytest

from monitoring.served import calibration_note, labelled, prediction_windows, read_predictions
from raconteur.errors import DataError
from raconteur.pseudonym import pseudonym


def test_labelled_counts_the_first_take_at_or_after_the_known_events(tmp_path: Path, key: bytes):
    events = pl.DataFrame(
        {
            "user_id": ["a"] * 5 + ["b"],
            "item_id": ["seen", "x", "shown", "y", "z", "q"],
            "position": [0, 1, 2, 3, 4, 0],
            "is_target": [True, True, False, True, True, True],
        }
    )
    events.write_parquet(tmp_path / "events.parquet")
    answers = pl.DataFrame(
        {
            "user_id": [pseudonym(user, key) for user in ("a", "a", "a", "a", "b", "stranger")],
            "time": range(6),
            "items": [["x"], ["y", "x"], ["z", "y"], ["z"], [], ["x"]],
            # 1: next take x. 2: an impression comes first, then y. 2 again: y, so z is no hit. 5: no event yet.
            "num_events": [1, 2, 2, 5, 0, 0],
            "route": ["student", "student", "reasoner", "student", "student", "student"],
            "probability": [0.5, 0.25, 0.9, None, None, None],
        }
    )
    assert labelled(answers, tmp_path, key=key, rows=10) == [True, True, False]
    assert labelled(answers, tmp_path, key=key, rows=1) == [False]
    assert labelled(answers, tmp_path, key=key[::-1], rows=10) == []  # by another key these are other users
    # two answers of the student with a known next take: both right, (.5 + .25) / 2 expected
    note = "the student's first choice was right in 100.0% of 2 answers, 37.5% expected"
    assert calibration_note(answers, tmp_path, key=key, rows=10) == (note,)
    assert calibration_note(answers.filter(pl.col("route") == "reasoner"), tmp_path, key=key, rows=10) == ()


def test_read_predictions_nothing_logged_is_empty(tmp_path: Path):
    assert read_predictions(tmp_path, version="v1").is_empty()


def test_read_predictions_keeps_one_version_in_time_order(tmp_path: Path, arrived, served):
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    served(log, num=20, hits=5).reverse().write_parquet(tmp_path / "b.parquet")
    served(log, num=10, hits=5, version="v0").write_parquet(tmp_path / "a.parquet")
    (tmp_path / ".c.tmp.parquet").write_bytes(b"half a file")
    predictions = read_predictions(tmp_path, version="v1")
    assert predictions.height == 20
    assert predictions["time"].is_sorted()


def test_read_predictions_keeps_answers_of_another_servers_model(tmp_path: Path, arrived, served):
    """With a Reasoner behind the OpenAI API answers name the champion and that server's model."""
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    served(log, num=10, hits=5, version="v1+Qwen3-8B").write_parquet(tmp_path / "a.parquet")
    served(log, num=10, hits=5, version="v10").write_parquet(tmp_path / "b.parquet")
    assert read_predictions(tmp_path, version="v1").height == 10


def test_read_predictions_broken_file_is_named(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        read_predictions(tmp_path, version="v1")


def test_prediction_windows_first_answers_against_newest(arrived, served):
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    both = pl.concat([served(log, num=600, hits=0), served(log, num=600, hits=0, margin=0.1)])
    windows = prediction_windows(both, rows=2000)
    assert windows.reference.shape == windows.current.shape == (600, 6)
    assert windows.reference["served_margin"].min() == pytest.approx(0.5)
    assert windows.current["served_margin"].max() == pytest.approx(0.16)
    assert set(windows.current["served_narrative_length"]) == {11}


def test_prediction_windows_too_few_answers_are_left_out(arrived, served):
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    windows = prediction_windows(served(log, num=900, hits=0), rows=2000)
    assert windows.current.empty
    assert windows.notes == ("served answers were not compared: 450 reference and 450 new rows, 500 are needed",)


def test_prediction_windows_hold_the_calibrated_figures_where_a_router_logged_them(arrived, served):
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    rows = served(log, num=1200, hits=0).with_columns(probability=0.4, gain=0.01)
    windows = prediction_windows(rows, rows=2000)
    assert {"served_probability", "served_gain"} <= set(windows.current.columns)
    without = rows.with_columns(pl.lit(None).cast(pl.Float32).alias(name) for name in ("probability", "gain"))
    assert "served_gain" not in prediction_windows(without, rows=2000).current.columns


def test_read_predictions_of_an_older_service_have_no_calibrated_figures(tmp_path: Path, arrived, served):
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    served(log, num=5, hits=5).drop("probability", "gain").write_parquet(tmp_path / "a.parquet")
    assert read_predictions(tmp_path, version="v1")["probability"].null_count() == 5
