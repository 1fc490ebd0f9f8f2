from datetime import date
from pathlib import Path

import polars as pl
import pytest

from raconteur import columns
from raconteur.data.raw import TimeFormat
from raconteur.data.readers.movielens import read_movielens
from raconteur.errors import DataError

EVENT = [columns.LINE, columns.USER_ID, columns.ITEM_ID, columns.VALUE, columns.EVENT_TIME]


def test_read_movielens_csv_layout(movielens_folder: Path) -> None:
    raw = read_movielens(str(movielens_folder))
    assert raw.events.select(EVENT).row(1) == (3, "1", "2", "3.5", "300")
    assert raw.events[columns.EVENT_TYPE].unique().to_list() == ["rating"]
    assert raw.items is not None
    assert raw.items.select(columns.TITLE, columns.CATEGORIES, columns.RELEASED).rows() == [
        ("Heat (1995)", ["Action", "Crime"], "1995-01-01"),
        ("Postman, The (1994)", ["Drama"], "1994-01-01"),
        ("Untold", [], None),
        ("Alien (1979)", ["Horror", "Sci-Fi"], "1979-01-01"),
    ]
    assert raw.users is None
    assert raw.time == TimeFormat(unit="s")
    assert raw.value_unit == "stars"


def test_read_movielens_1m_layout_with_users(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n1::11::3::978302109\n")
    (tmp_path / "movies.dat").write_bytes(
        "10::Amélie: A Tale (2001)::Comedy|Romance\n11::Heat (1995)::\n".encode("latin-1")
    )
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    raw = read_movielens(str(tmp_path))
    assert raw.events.select(EVENT).row(0) == (1, "1", "10", "5", "978300760")
    assert raw.items is not None
    assert raw.items[columns.TITLE][0] == "Amélie: A Tale (2001)"
    assert raw.items[columns.CATEGORIES].to_list() == [["Comedy", "Romance"], []]
    assert raw.users is not None
    assert raw.users[columns.ATTRIBUTES].to_list() == [
        [
            {"key": "gender", "value": "F"},
            {"key": "age", "value": "1"},
            {"key": "occupation", "value": "10"},
            {"key": "zip_code", "value": "48067"},
        ]
    ]


def test_read_movielens_rebuilt_layout_orders_by_order_in_user(tmp_path: Path) -> None:
    (tmp_path / "ratings_rebuilt.csv").write_text(
        "user_id,movie_id,rating,timestamp,timestamp_exact,order_in_user\n"
        "1,10,5,100,1,2\n1,11,3,100,1,1\n2,10,1,90,0,1\n1,12,4,100,0,3\n"
    )
    (tmp_path / "movies.dat").write_text("10::A (1999)::Drama\n11::B (1999)::Drama\n12::C (1999)::Drama\n")
    raw = read_movielens(str(tmp_path))
    user_1 = raw.events.filter(pl.col(columns.USER_ID) == "1")
    assert user_1.select(columns.LINE, columns.ITEM_ID).rows() == [(3, "11"), (2, "10"), (5, "12")]


def test_read_movielens_100k_layout(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("196\t1\t3\t881250949\n")
    flags = ["0"] * 19
    flags[1] = flags[16] = "1"
    known = f"1|Café (1995)|14-Feb-1995||http://example.org|{'|'.join(flags)}\n"
    unknown = f"2|unknown||||{'|'.join(['1'] + ['0'] * 18)}\n"
    (tmp_path / "u.item").write_bytes((known + unknown).encode("latin-1"))
    (tmp_path / "u.user").write_text("196|49|M|writer|55105\n")
    raw = read_movielens(str(tmp_path))
    assert raw.events.select(EVENT).rows() == [(1, "196", "1", "3", "881250949")]
    assert raw.items is not None
    assert raw.items.select(columns.TITLE, columns.CATEGORIES, columns.RELEASED).rows() == [
        ("Café (1995)", ["Action", "Thriller"], date(1995, 2, 14)),
        ("unknown", ["unknown"], None),
    ]
    assert raw.users is not None
    assert raw.users[columns.USER_ID].to_list() == ["196"]


def test_read_movielens_unknown_folder_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data.json").touch()
    with pytest.raises(DataError, match=r"no MovieLens layout.*ratings\.csv.*there is data\.json"):
        read_movielens(str(tmp_path))


def test_read_movielens_missing_column_names_those_there(movielens_folder: Path) -> None:
    (movielens_folder / "ratings.csv").write_text("user,movieId,rating,timestamp\n1,1,1,1\n")
    with pytest.raises(
        DataError, match=r"ratings\.csv lacks the column userId; it has user, movieId, rating, timestamp"
    ):
        read_movielens(str(movielens_folder))


def test_read_movielens_missing_catalogue_names_the_file(movielens_folder: Path) -> None:
    (movielens_folder / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"holds no movies\.csv"):
        read_movielens(str(movielens_folder))
