import gzip
import json
from pathlib import Path

import pytest

from raconteur import columns
from raconteur.data.readers.text import read_text
from raconteur.errors import DataError


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_read_text_counts_lines_over_blank_and_malformed_ones(tmp_path: Path) -> None:
    url = write(tmp_path / "log.csv", "a,b\r\n1,x\r\n\r\n2\r\n3,y,z\r\n4,\r\n\r\n")
    table = read_text(url, table="events")
    assert table.frame.rows() == [(2, "1", "x"), (6, "4", "")]
    assert table.malformed.select("table", columns.LINE, columns.REASON).rows() == [
        ("events", 4, "malformed line"),
        ("events", 5, "malformed line"),
    ]
    assert [json.loads(row) for row in table.malformed["row"]] == [{"text": "2"}, {"text": "3,y,z"}]


def test_read_text_without_header_counts_from_the_first_line(tmp_path: Path) -> None:
    url = write(tmp_path / "u.data", "1\tx\n2\n3\tz\n")
    table = read_text(url, table="events", separator="\t", header=["a", "b"], quoted=False)
    assert table.frame.rows() == [(1, "1", "x"), (3, "3", "z")]
    assert table.malformed[columns.LINE].to_list() == [2]


def test_read_text_cells_stay_text(tmp_path: Path) -> None:
    url = write(tmp_path / "log.csv", "a,b,c\n007,NA,1e3\n")
    assert read_text(url, table="events").frame.rows() == [(2, "007", "NA", "1e3")]


def test_read_text_quoted_cell_may_hold_separators_and_lines(tmp_path: Path) -> None:
    url = write(tmp_path / "log.csv", 'a,b\n"x, ""y""","two\nlines"\n')
    assert read_text(url, table="events").frame.rows() == [(2, 'x, "y"', "two\nlines")]


def test_read_text_unquoted_file_keeps_its_quotes(tmp_path: Path) -> None:
    url = write(tmp_path / "movies.dat", '1::"Heat"::Crime\n2::12" of Snow::Drama\n')
    frame = read_text(url, table="items", separator="::", header=["id", "title", "genres"], quoted=False).frame
    assert frame["title"].to_list() == ['"Heat"', '12" of Snow']


def test_read_text_gzip_is_told_by_content_and_latin_1_is_decoded(tmp_path: Path) -> None:
    url = write(tmp_path / "movies.dat", gzip.compress("1::Amélie\n".encode("latin-1")))
    frame = read_text(
        url, table="items", separator="::", header=["id", "title"], quoted=False, encoding="latin-1"
    ).frame
    assert frame["title"].to_list() == ["Amélie"]


def test_read_text_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    url = write(tmp_path / "log.csv", "﻿a,b\n1,2\n")
    assert read_text(url, table="events", required=["a"]).frame.columns == [columns.LINE, "a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2\n", "lacks the column c; it has a, b"),
        (b"a,b,a\n1,2,3\n", "names a column twice: a, b, a"),
        (b"c,b\n1,\xff\n", "is no utf-8 text"),
        (b"\xff\xfea,b\n", "is no utf-8 header"),
        (b"\x1f\x8b\x08\x00damaged", "is a damaged gzip file"),
        (b'c,b\n1,"2\n' + b"3,4\n" * 200, "has a quote that is opened near row 1"),
    ],
)
def test_read_text_malformed_file_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_text(write(tmp_path / "log.csv", content), table="events", required=["c"])
    assert "\n" not in str(caught.value)
    assert "log.csv" in str(caught.value)


def test_read_text_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv cannot be read: FileNotFoundError"):
        read_text(str(tmp_path / "nothing.csv"), table="events")
