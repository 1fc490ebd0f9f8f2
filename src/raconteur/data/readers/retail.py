"""UCI Online Retail (I and II), exported to one CSV: invoice lines of a gift shop.

A line is a `purchase`; a `cancellation` where the invoice begins with C or the quantity is not positive; a `fee` where
the code does not begin with five digits (postage, vouchers, corrections). Fees stay in the log, since a real log has
them, but their items are not available. A line without a customer is put away for an expected reason. The value is the
line's sum in pounds, negative for what came back. Times are the shop's local ones.
"""

import polars as pl

from raconteur import columns
from raconteur.data.raw import NO_CUSTOMER, RawLog, TimeFormat, string_map
from raconteur.data.readers import files
from raconteur.data.readers.text import read_text, require_columns
from raconteur.errors import DataError

RENAMED = {"InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"}  # edition I -> edition II
REQUIRED = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
SHOP_ZONE = "Europe/London"
PRODUCT_CODE = r"^\d{5}"


def read_retail(path: str) -> RawLog:
    """Reads the CSV, or the only CSV of a folder.

    Raises:
        DataError: there is none or more than one, or it lacks a column.
    """
    url = _only_csv(path) if files.is_folder(path) else path
    table = read_text(url, table="events")
    lines = table.frame.rename(RENAMED, strict=False)
    require_columns(lines, REQUIRED, url)
    return RawLog(
        source=url,
        value_unit="pounds",
        events=_events(lines),
        items=_items(lines),
        malformed=table.malformed,
        time=TimeFormat(unit="text", zone=SHOP_ZONE),
    )


def _only_csv(folder: str) -> str:
    found = [name for name in files.names(folder) if name.endswith((".csv", ".csv.gz"))]
    if len(found) != 1:
        raise DataError(
            f"{folder} holds {len(found)} CSV files where one was expected ({files.listing(folder)}); "
            "name the file in data.path, and export a spreadsheet to CSV first"
        )
    return files.join(folder, found[0])


def _events(lines: pl.DataFrame) -> pl.DataFrame:
    quantity, price = (pl.col(name).cast(pl.Float64, strict=False) for name in ("Quantity", "Price"))
    came_back = pl.col("Invoice").str.starts_with("C") | (quantity <= 0)
    is_product = pl.col("StockCode").str.contains(PRODUCT_CODE)
    customer = pl.col("Customer ID").str.strip_suffix(".0")  # spreadsheets export the number so
    total = (quantity * price).round(2)
    pounds = pl.when(total == 0).then(0.0).otherwise(total)  # no minus zero
    return lines.select(
        columns.LINE,
        customer.alias(columns.USER_ID),
        pl.col("StockCode").alias(columns.ITEM_ID),
        pl.col("InvoiceDate").alias(columns.EVENT_TIME),
        pl.when(~is_product)
        .then(pl.lit("fee"))
        .when(came_back)
        .then(pl.lit("cancellation"))
        .otherwise(pl.lit("purchase"))
        .alias(columns.EVENT_TYPE),
        # A cell that is no number stays as it is, for the contract to name it.
        pl.when(pounds.is_not_null())
        .then(pounds.cast(pl.String))
        .otherwise(pl.concat_str("Quantity", "Price", separator=" x "))
        .alias(columns.VALUE),
        pl.col("Invoice").alias(columns.SESSION_ID),
        string_map(lines, {"quantity": "Quantity", "price": "Price", "country": "Country"}).alias(columns.CONTEXT),
        pl.when(pl.col("Customer ID") == "").then(pl.lit(NO_CUSTOMER)).alias(columns.REASON),
    )


def _items(lines: pl.DataFrame) -> pl.DataFrame:
    """One item a code; its title is its most frequent description on lines with a price (the others are notes).

    A code without such a line was never sold, only booked: it is not available.
    """
    is_note = pl.col("Price").cast(pl.Float64, strict=False).fill_null(0) <= 0
    titles = (
        lines.select("StockCode", pl.when(~is_note).then(pl.col("Description").str.strip_chars()).alias(columns.TITLE))
        .filter(pl.col(columns.TITLE) != "")
        .group_by("StockCode", columns.TITLE)
        .len()
        .sort("len", columns.TITLE, descending=[True, False])
        .unique("StockCode", keep="first", maintain_order=True)
    )
    first_lines = lines.filter(pl.col("StockCode") != "").unique("StockCode", keep="first", maintain_order=True)
    return first_lines.join(titles, on="StockCode", how="left", maintain_order="left").select(
        columns.LINE,
        pl.col("StockCode").alias(columns.ITEM_ID),
        columns.TITLE,
        (pl.col("StockCode").str.contains(PRODUCT_CODE) & pl.col(columns.TITLE).is_not_null()).alias(columns.AVAILABLE),
    )
