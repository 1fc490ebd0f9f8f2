from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.windows import Stretch, event_windows, side_by_side, stretch, thin
from raconteur import artifacts
from raconteur.errors import ArtifactError, DataError


def test_thin_keeps_even_distances_and_the_last_row():
    frame = pl.DataFrame({"n": range(10)})
    assert thin(frame, 5)["n"].to_list() == [1, 3, 5, 7, 9]
    assert thin(frame, 3)["n"].to_list() == [2, 5, 9]
    assert thin(frame, 10).equals(frame)


@given(height=st.integers(1, 500), rows=st.integers(1, 500))
def test_thin_any_size_keeps_rows_once_and_in_order(height: int, rows: int):
    kept = thin(pl.DataFrame({"n": range(height)}), rows)["n"].to_list()
    assert len(kept) == min(height, rows)
    assert kept == sorted(set(kept))
    assert kept[-1] == height - 1


def test_event_windows_quiet_days_have_rows_and_no_notes(prepared_data: Path, arrived):
    when = stretch(prepared_data, arrived("nothing"), cutoff=None)
    windows = event_windows(prepared_data, arrived("nothing"), when, rows=800)
    assert windows.reference.shape == windows.current.shape == (800, 8)
    assert windows.notes == ()
    assert timedelta(days=9) < when.span < timedelta(days=10, minutes=30)


def test_event_windows_hostile_category_is_escaped(prepared_data: Path, arrived):
    when = stretch(prepared_data, arrived("nothing"), cutoff=None)
    windows = event_windows(prepared_data, arrived("nothing"), when, rows=800)
    assert "&lt;/script&gt;&lt;b&gt;war&lt;/b&gt;" in set(windows.current["take_category"])
    assert not any("<" in word for word in windows.current["take_category"])


def test_event_windows_new_titles_are_unknown_and_least_popular(prepared_data: Path, arrived):
    when = stretch(prepared_data, arrived("catalogue"), cutoff=None)
    windows = event_windows(prepared_data, arrived("catalogue"), when, rows=800)
    assert set(windows.reference["take_new_item"]) == {"known item"}
    new = windows.current["take_new_item"] == "new item"
    assert 0.3 < new.mean() < 0.5
    assert (windows.current.loc[new, "take_popularity"] == 1.0).all()


def test_event_windows_nothing_after_cutoff_compares_nothing(prepared_data: Path):
    when = stretch(prepared_data, prepared_data, cutoff=None)
    windows = event_windows(prepared_data, prepared_data, when, rows=800)
    assert windows.current.empty
    assert windows.notes[0].endswith("and 0 new rows, 500 are needed")


def test_stretch_champions_own_cutoff_wins(prepared_data: Path, arrived):
    later = datetime(2026, 2, 5, tzinfo=UTC)
    assert stretch(prepared_data, arrived("nothing"), cutoff=later).start == later


def test_stretch_short_span_is_a_day():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert Stretch(moment, moment + timedelta(hours=2)).span == timedelta(days=1)


def test_side_by_side_rare_words_become_other_and_missing_ones_are_named():
    words = [f"w{index}" for index in range(30) for _ in range(20)] + ["rare"] + [None] * 10
    frame = pl.DataFrame({"log_event_type": words})
    windows = side_by_side(frame, frame, table="events")
    counts = windows.current["log_event_type"].value_counts()
    assert len(counts) == 32
    assert (counts["(other)"], counts["(none)"]) == (1, 10)


def test_side_by_side_column_without_any_value_is_all_missing():
    frame = pl.DataFrame({"log_device": [None] * 600}, schema={"log_device": pl.String})
    assert set(side_by_side(frame, frame, table="events").current["log_device"]) == {"(none)"}


def test_event_windows_table_without_columns_names_them(tmp_path: Path, prepared_data: Path):
    with artifacts.new_folder(tmp_path / "bad") as folder:
        pl.DataFrame({"user": ["a"]}).write_parquet(folder / "events.parquet")
    with pytest.raises(DataError, match=r"lacks \['user_id', .* it holds \['user'\]"):
        stretch(prepared_data, tmp_path / "bad", cutoff=None)


def test_stretch_unfinished_folder_is_refused(tmp_path: Path, prepared_data: Path):
    (tmp_path / "half").mkdir()
    with pytest.raises(ArtifactError, match="no finished artefact"):
        stretch(prepared_data, tmp_path / "half", cutoff=None)
