from pathlib import Path

import pytest

from raconteur import columns
from raconteur.data.readers.sequences import read_sequences
from raconteur.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Games.test.inter").write_text(
        "user_id:token\titem_id_list:token_seq\titem_id:token\n0\t5 3\t9\n1\t\t5\n2\t9 5 3\t5\n"
    )
    (tmp_path / "Games.item").write_text('item_id:token\ttitle:token_seq\n3\t"Pad" 12"\n5\tDriver\n9\tBall & Co\n')
    return tmp_path


def test_read_sequences_order_becomes_seconds(folder: Path) -> None:
    events = read_sequences(str(folder)).events
    assert events.select(columns.LINE, columns.USER_ID, columns.ITEM_ID, columns.EVENT_TIME).rows() == [
        (2, "0", "5", 946684800),  # 2000-01-01 00:00:00 UTC
        (2, "0", "3", 946684801),
        (2, "0", "9", 946684802),
        (3, "1", "5", 946684800),
        (4, "2", "9", 946684800),
        (4, "2", "5", 946684801),
        (4, "2", "3", 946684802),
        (4, "2", "5", 946684803),
    ]


def test_read_sequences_titles_keep_their_quotes(folder: Path) -> None:
    items = read_sequences(str(folder)).items
    assert items is not None
    assert items[columns.TITLE].to_list() == ['"Pad" 12"', "Driver", "Ball & Co"]


def test_read_sequences_without_item_file_says_so(folder: Path) -> None:
    (folder / "Games.item").unlink()
    with pytest.raises(DataError, match=r"holds 0 files \*\.item where one was expected \(Games\.test\.inter\)"):
        read_sequences(str(folder))


def test_read_sequences_of_single_events_lack_the_list(folder: Path) -> None:
    (folder / "Games.test.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(DataError, match="lacks the column item_id_list; it has user_id, item_id"):
        read_sequences(str(folder))
