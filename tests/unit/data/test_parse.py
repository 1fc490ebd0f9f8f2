from datetime import UTC, date, datetime

import polars as pl
import pytest

from raconteur.data import parse
from raconteur.data.raw import TimeFormat
from raconteur.errors import DataError


def read_time(cells: list, written: TimeFormat = TimeFormat(), dtype: pl.DataType | None = None) -> list:  # noqa: B008
    frame = pl.DataFrame({"t": pl.Series(cells, dtype=dtype)})
    return frame.select(parse.time(frame, "t", written)).to_series().to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01 12:30:00",
        "2024-03-01T12:30:00",
        "2024-03-01T12:30:00Z",
        "2024-03-01 12:30",
        "2024-03-01T14:30:00+02:00",
        "2024-03-01T14:30:00.000+0200",
    ],
)
def test_time_iso_forms_give_the_same_instant(text: str) -> None:
    assert read_time([text]) == [datetime(2024, 3, 1, 12, 30, tzinfo=UTC)]


def test_time_mixed_forms_in_one_column_are_all_read() -> None:
    first, second, third = read_time(["garbage", "2024-03-01", "2024-03-01 00:00:00.250"])
    assert first is None
    assert second == datetime(2024, 3, 1, tzinfo=UTC)
    assert third == datetime(2024, 3, 1, 0, 0, 0, 250_000, tzinfo=UTC)


def test_time_local_zone_follows_summer_time_and_its_changes() -> None:
    zone = TimeFormat(zone="Europe/London")
    cells = ["2010-01-04 12:00:00", "2010-07-01 12:00:00", "2010-10-31 01:30:00", "2010-03-28 01:30:00"]
    assert read_time(cells, zone) == [
        datetime(2010, 1, 4, 12, tzinfo=UTC),
        datetime(2010, 7, 1, 11, tzinfo=UTC),
        datetime(2010, 10, 31, 0, 30, tzinfo=UTC),  # the clock shows it twice: the earlier one
        None,  # the clock never showed it
    ]


def test_time_numbers_since_1970_round_to_microseconds() -> None:
    assert read_time(["0", "1.5", "x", "1e300", "nan"], TimeFormat("s")) == [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
        None,
        None,
        None,
    ]
    assert read_time([1500], TimeFormat("ms")) == [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)]


def test_time_numbers_without_a_unit_ask_for_it() -> None:
    with pytest.raises(DataError, match="set time_unit to s, ms or us"):
        read_time([1500])


def test_time_pattern_reads_only_its_form() -> None:
    written = TimeFormat(pattern="%d/%m/%Y %H:%M")
    assert read_time(["01/03/2024 12:30", "2024-03-01 12:30"], written) == [
        datetime(2024, 3, 1, 12, 30, tzinfo=UTC),
        None,
    ]


def test_time_typed_columns_are_converted_to_utc() -> None:
    noon = datetime(2024, 3, 1, 12)
    assert read_time([noon], dtype=pl.Datetime("ns")) == [noon.replace(tzinfo=UTC)]
    assert read_time([date(2024, 3, 1)]) == [datetime(2024, 3, 1, tzinfo=UTC)]


def test_time_boolean_column_is_refused() -> None:
    with pytest.raises(DataError, match="a time was expected"):
        read_time([True])


def test_flag_reads_the_usual_words() -> None:
    frame = pl.DataFrame({"f": ["true", "No", " 1 ", "", "perhaps"]})
    assert frame.select(parse.flag(frame, "f")).to_series().to_list() == [True, False, True, None, None]


def test_text_blank_and_nan_are_missing() -> None:
    frame = pl.DataFrame({"t": ["a", " ", "", "NaN", None, " b "]})
    assert frame.select(parse.text("t")).to_series().to_list() == ["a", None, None, None, None, " b "]


def test_string_list_of_text_column_is_refused() -> None:
    frame = pl.DataFrame({"categories": ["Action|Crime"]})
    with pytest.raises(DataError, match="column categories is of type String, a list of texts was expected"):
        parse.string_list(frame, "categories")
