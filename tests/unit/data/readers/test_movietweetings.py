from pathlib import Path

from raconteur import columns
from raconteur.data.readers.movietweetings import read_movietweetings


def test_read_movietweetings_keeps_leading_zeros_and_malformed_lines(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::0104257::8::1364690142\n2::0104257::8\n")
    (tmp_path / "movies.dat").write_text("0104257::Ein Tag – Zwei (1992)::Crime|Drama\n0000001::Untold (1900)::\n")
    raw = read_movietweetings(str(tmp_path))
    assert raw.events.select(columns.USER_ID, columns.ITEM_ID, columns.VALUE).rows() == [("1", "0104257", "8")]
    assert raw.malformed.select("table", columns.LINE).rows() == [("events", 2)]
    assert raw.malformed["row"][0] == '{"text": "2::0104257::8"}'
    assert raw.items is not None
    assert raw.items[columns.TITLE][0] == "Ein Tag – Zwei (1992)"
    assert raw.items[columns.CATEGORIES].to_list() == [["Crime", "Drama"], []]
