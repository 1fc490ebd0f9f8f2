from datetime import UTC, datetime
from pathlib import Path

import pytest

from raconteur import columns
from raconteur.data.contracts import check
from raconteur.data.readers.retail import read_retail
from raconteur.errors import DataError

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
ROWS = (
    "1,85048,GLASS BALL ,12,2010-07-01 12:00:00,0.5,7,United Kingdom\n"
    "C2,85048,GLASS BALL,-2,2010-07-02 12:00:00,0.5,7,United Kingdom\n"
    "3,POST,POSTAGE,1,2010-01-04 12:00:00,18,7,France\n"
    "4,85048,damaged,-5,2010-07-02 12:00:00,0,,United Kingdom\n"
    "5,85049,,1,2010-07-02 12:00:00,0,,United Kingdom\n"
    "6,85048,BALL,two,2010-07-03 12:00:00,0.5,8.0,United Kingdom\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "retail.csv").write_text(HEADER + ROWS)
    return tmp_path


def test_read_retail_lines_become_typed_events(shop: Path) -> None:
    events = read_retail(str(shop)).events
    wanted = [columns.USER_ID, columns.ITEM_ID, columns.EVENT_TYPE, columns.VALUE, columns.SESSION_ID, columns.REASON]
    assert events.select(wanted).rows() == [
        ("7", "85048", "purchase", "6.0", "1", None),
        ("7", "85048", "cancellation", "-1.0", "C2", None),
        ("7", "POST", "fee", "18.0", "3", None),
        ("", "85048", "cancellation", "0.0", "4", "no customer"),
        ("", "85049", "purchase", "0.0", "5", "no customer"),
        ("8", "85048", "purchase", "two x 0.5", "6", None),
    ]
    assert events[columns.CONTEXT][0].to_list() == [
        {"key": "quantity", "value": "12"},
        {"key": "price", "value": "0.5"},
        {"key": "country", "value": "United Kingdom"},
    ]


def test_read_retail_title_is_the_usual_description_and_fees_are_unavailable(shop: Path) -> None:
    items = read_retail(str(shop)).items
    assert items is not None
    assert items.select(columns.ITEM_ID, columns.TITLE, columns.AVAILABLE).rows() == [
        ("85048", "GLASS BALL", True),
        ("POST", "POSTAGE", False),
        ("85049", None, False),
    ]


def test_read_retail_checked_times_are_the_shops_and_no_customer_is_no_bad_row(shop: Path) -> None:
    checked = check(read_retail(str(shop / "retail.csv")), now=datetime(2024, 1, 1, tzinfo=UTC), max_quarantine=1 / 6)
    assert checked.events[columns.EVENT_TIME].to_list() == [
        datetime(2010, 7, 1, 11, tzinfo=UTC),  # summer time
        datetime(2010, 7, 2, 11, tzinfo=UTC),
        datetime(2010, 1, 4, 12, tzinfo=UTC),
    ]
    assert checked.quarantine[columns.REASON].to_list() == ["no customer", "no customer", "value is no number"]


def test_read_retail_first_edition_has_other_names(tmp_path: Path) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    (tmp_path / "retail.csv").write_text(header + ROWS)
    assert read_retail(str(tmp_path)).events[columns.USER_ID][0] == "7"


def test_read_retail_folder_with_two_sheets_asks_for_one(shop: Path) -> None:
    (shop / "second.csv").write_text(HEADER)
    with pytest.raises(DataError, match=r"holds 2 CSV files .*retail\.csv, second\.csv.*name the file"):
        read_retail(str(shop))


def test_read_retail_missing_column_names_it(tmp_path: Path) -> None:
    (tmp_path / "retail.csv").write_text("Invoice,StockCode\n1,2\n")
    with pytest.raises(DataError, match=r"lacks the column Description, .*; it has Invoice, StockCode"):
        read_retail(str(tmp_path))
