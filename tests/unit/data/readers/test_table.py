from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from raconteur import columns
from raconteur.data.contracts import check
from raconteur.data.raw import RawLog
from raconteur.data.readers.mapping import load_mapping
from raconteur.data.readers.table import read_table_log
from raconteur.errors import ConfigError, DataError

EXAMPLES = Path(__file__).parents[4] / "configs" / "mappings"


def read(path: Path, mapping: Path) -> RawLog:
    return read_table_log(str(path), load_mapping(mapping))


@pytest.fixture
def streaming(tmp_path: Path) -> Path:
    """The service of configs/mappings/streaming.toml."""
    (tmp_path / "plays.csv").write_text(
        "account,title_id,started_at,kind,minutes,session,device,country,other\n"
        "u1,t1,2024-01-01T20:00:00,play,95,s1,tv,DE,x\n"
        "u1,t2,2024-07-01T20:00:00,trailer,,s2,phone,,x\n"
    )
    pl.DataFrame(
        {
            "id": ["t1", "t2"],
            "name": ["One", "Two"],
            "synopsis": ["First.", None],
            "genres": [["Drama"], []],
            "release_date": [date(2020, 5, 1), None],
            "kind": ["film", "series"],
            "minutes": [95, 40],
        }
    ).write_parquet(tmp_path / "titles.parquet")
    return tmp_path


def test_read_table_log_csv_and_parquet_by_the_example_mapping(streaming: Path) -> None:
    checked = check(read(streaming, EXAMPLES / "streaming.toml"), now=datetime(2024, 12, 1, tzinfo=UTC))
    assert checked.quarantine.is_empty()
    first, second = checked.events.rows(named=True)
    assert first[columns.EVENT_TIME] == datetime(2024, 1, 1, 19, tzinfo=UTC)
    assert second[columns.EVENT_TIME] == datetime(2024, 7, 1, 18, tzinfo=UTC)
    assert (first[columns.VALUE], second[columns.VALUE]) == (95.0, None)
    assert first[columns.CONTEXT] == [{"key": "device", "value": "tv"}, {"key": "country", "value": "DE"}]
    assert second[columns.CONTEXT] == [{"key": "device", "value": "phone"}]
    item = checked.items.row(0, named=True)
    assert item[columns.CATEGORIES] == ["Drama"]
    assert item[columns.RELEASED] == date(2020, 5, 1)
    assert item[columns.ATTRIBUTES] == [{"key": "kind", "value": "film"}, {"key": "minutes", "value": "95"}]


def test_read_table_log_file_without_header_or_catalogue(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("A1,B2,5.0,1096588800\nA1,B3,1.0,1096588801\n")
    raw = read(tmp_path / "ratings.csv", EXAMPLES / "amazon_reviews.toml")
    assert raw.items is None
    checked = check(raw, now=datetime(2024, 1, 1, tzinfo=UTC))
    assert checked.events[columns.EVENT_TYPE].to_list() == ["rating", "rating"]
    assert checked.events[columns.EVENT_TIME][0] == datetime(2004, 10, 1, tzinfo=UTC)
    assert checked.items[columns.ITEM_ID].to_list() == ["B2", "B3"]


def test_read_table_log_categories_of_a_text_file_are_split(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("u,i,t\n1,a,2024-01-01\n")
    (tmp_path / "items.csv").write_text("id,tags\na,Drama; Crime;\nb,\n")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        '[events]\nfile = "log.csv"\nuser_id = "u"\nitem_id = "i"\nevent_time = "t"\n'
        '[items]\nfile = "items.csv"\nitem_id = "id"\ncategories = "tags"\ncategory_separator = ";"\n'
        '[users]\nfile = "log.csv"\nuser_id = "u"\nattributes = ["t"]\n'
    )
    raw = read(tmp_path, mapping)
    assert raw.items is not None
    assert raw.items[columns.CATEGORIES].to_list() == [["Drama", "Crime"], []]
    assert raw.users is not None
    assert raw.users[columns.ATTRIBUTES].to_list() == [[{"key": "t", "value": "2024-01-01"}]]


def test_read_table_log_unknown_column_names_those_there(streaming: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        '[events]\nfile = "plays.csv"\nuser_id = "user"\nitem_id = "title_id"\nevent_time = "started_at"\n'
    )
    with pytest.raises(DataError, match=r"plays\.csv lacks the column user; it has account, title_id"):
        read(streaming, mapping)


def test_read_table_log_folder_without_a_file_name_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder: name its events file in the mapping \(\[events\] file"):
        read(tmp_path, EXAMPLES / "amazon_reviews.toml")


def test_read_table_log_no_parquet_is_a_data_error(streaming: Path) -> None:
    (streaming / "titles.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match=r"titles\.parquet is no readable Parquet file"):
        read(streaming, EXAMPLES / "streaming.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[events\n", "is no TOML"),
        ('[events]\nuser_id = "u"\nitem_id = "i"\n', "events.event_time: Field required"),
        ('[events]\nuser = "u"\n', "events"),
        ('[events]\nuser_id = "u"\nitem_id = "i"\nevent_time = "t"\nvalues = "v"\n', "events.values: Extra inputs"),
    ],
)
def test_load_mapping_bad_file_is_a_config_error(tmp_path: Path, text: str, message: str) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_mapping(mapping)


def test_load_mapping_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; see configs/mappings/"):
        load_mapping(tmp_path / "nothing.toml")
