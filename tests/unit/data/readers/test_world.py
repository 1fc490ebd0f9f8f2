from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from raconteur import columns
from raconteur.data.readers.world import read_world
from raconteur.errors import DataError


def write(folder: Path, name: str, **cells: list) -> None:
    pl.DataFrame(cells).write_parquet(folder / f"{name}.parquet")


def test_read_world_takes_the_columns_of_the_contract_and_counts_rows(tmp_path: Path) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    write(
        tmp_path,
        "events",
        user_id=["u", "u"],
        item_id=["a", "b"],
        event_time=[now, now],
        event_type=["play"] * 2,
        secret=[1, 2],
    )
    write(tmp_path, "items", item_id=["a", "b"], title=["A", "B"], rank=[1, 2])
    write(tmp_path, "users", user_id=["u"])
    raw = read_world(str(tmp_path))
    assert raw.events.columns == [
        columns.LINE,
        columns.USER_ID,
        columns.ITEM_ID,
        columns.EVENT_TIME,
        columns.EVENT_TYPE,
    ]
    assert raw.events[columns.LINE].to_list() == [1, 2]
    assert raw.items is not None
    assert raw.items.columns == [columns.LINE, columns.ITEM_ID, columns.TITLE]


def test_read_world_missing_column_names_it(tmp_path: Path) -> None:
    write(tmp_path, "events", user_id=["u"], item_id=["a"])
    with pytest.raises(DataError, match="lacks the column event_time, event_type; it has user_id, item_id"):
        read_world(str(tmp_path))


def test_read_world_missing_folder_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be listed"):
        read_world(str(tmp_path / "world"))
