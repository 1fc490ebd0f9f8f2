from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from raconteur import columns
from raconteur.artifacts import new_folder
from raconteur.data.dataset import EVENTS, TABLES, load_dataset, load_quarantine, write_table
from raconteur.errors import ArtifactError, DataError

CONTEXTS = [[{"key": "device", "value": "tv"}, {"key": "country", "value": "UK"}], [], None]


def write_dataset(folder: Path, *, leave_out: str = "users") -> Path:
    with new_folder(folder, kind="dataset", value_unit="minutes") as out:
        for name, schema in TABLES.items():
            if name not in ("events", leave_out):
                write_table(out, name, pl.DataFrame(schema=schema))
        write_table(out, "events", events())
    return folder


def events() -> pl.DataFrame:
    frame = pl.DataFrame({columns.USER_ID: ["u"] * 3, columns.POSITION: [0, 1, 2]})
    return frame.select(
        pl.Series(columns.CONTEXT, CONTEXTS, dtype=dtype)
        if name == columns.CONTEXT
        else (pl.col(name) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name))
        for name, dtype in EVENTS.items()
    )


def test_dataset_round_trip_keeps_tables_and_types(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path / "data"))
    assert dataset.events.equals(events())
    assert dataset.events.schema == EVENTS
    assert dataset.users is None
    assert dataset.manifest["value_unit"] == "minutes"
    assert load_quarantine(tmp_path / "data").is_empty()


def test_dataset_users_are_read_where_the_source_has_them(tmp_path: Path) -> None:
    assert load_dataset(write_dataset(tmp_path / "data", leave_out="")).users is not None


def test_dataset_context_is_a_true_arrow_map_in_parquet(tmp_path: Path) -> None:
    context = pq.read_table(write_dataset(tmp_path / "data") / "events.parquet")[columns.CONTEXT]
    assert str(context.type).startswith("map<")
    assert context.to_pylist() == [[("device", "tv"), ("country", "UK")], [], None]


def test_load_dataset_changed_file_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data")
    with (folder / "split.parquet").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ArtifactError, match=r"split\.parquet does not match"):
        load_dataset(folder)


def test_load_dataset_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no finished artefact"):
        load_dataset(tmp_path / "nothing")


def test_load_dataset_table_without_a_column_names_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "data", kind="dataset") as out:
        pl.DataFrame({columns.USER_ID: ["u"]}).write_parquet(out / "events.parquet")
    with pytest.raises(DataError, match=r"events\.parquet lacks item_id, .*it has user_id"):
        load_dataset(tmp_path / "data")


def test_load_dataset_no_parquet_is_a_data_error(tmp_path: Path) -> None:
    with new_folder(tmp_path / "data", kind="dataset") as out:
        (out / "events.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match=r"events\.parquet cannot be read"):
        load_dataset(tmp_path / "data")
