"""Reads delimited text as text: every cell a string, every line accounted for.

Lines with too few or too many cells go to `malformed` with their number. Blank lines are no rows. Cells are parsed
later, by `contracts`, so that a bad one can be put away with its reason.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from raconteur import columns
from raconteur.data.dataset import QUARANTINE
from raconteur.data.raw import MALFORMED
from raconteur.data.readers import files
from raconteur.errors import DataError

UNIT_SEPARATOR = "\x1f"  # stands in for a separator of more than one character
BLOCK_BYTES = 1 << 24  # also the longest row
MAX_CELL_LINES = 100


@dataclass(frozen=True, slots=True)
class TextTable:
    frame: pl.DataFrame  # `line` and the file's columns as strings, in file order
    malformed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))


def read_text(
    url: str,
    *,
    table: str,
    separator: str = ",",
    header: Sequence[str] | None = None,
    required: Sequence[str] = (),
    quoted: bool = True,
    encoding: str = "utf-8",
) -> TextTable:
    """Reads a whole file.

    Args:
        table: name for the quarantine.
        header: the columns of a file without a header line.
        required: columns that the layout needs.

    Raises:
        DataError: the file is missing, empty, of another encoding, or lacks a required column.
    """
    content = files.read_bytes(url)
    if not content.strip():
        raise DataError(f"{url} is empty; a log with at least one row was expected")
    if len(separator) > 1:
        content = content.replace(separator.encode(), UNIT_SEPARATOR.encode())
        separator = UNIT_SEPARATOR
    names = list(header) if header else _header(content, url, separator, quoted, encoding)
    num_header_lines = 0 if header else 1
    cells, bad_lines = _parse(content, url, separator, names, num_header_lines, quoted, encoding)
    require_columns(cells, required, url)
    _check_quotes(cells, content, cells.height + len(bad_lines) + num_header_lines, url)
    frame = _number_lines(cells, [line for line, _ in bad_lines], num_header_lines=num_header_lines)
    return TextTable(frame=frame, malformed=_malformed(table, bad_lines))


def require_columns(frame: pl.DataFrame, required: Sequence[str], url: str) -> None:
    """
    Raises:
        DataError: a required column is not there; the message names those that are.
    """
    missing = [column for column in required if column not in frame.columns]
    if missing:
        present = ", ".join(column for column in frame.columns if column != columns.LINE)
        raise DataError(
            f"{url} lacks the column {', '.join(missing)}; it has {present}; check data.layout or the mapping"
        )


def _parse(
    content: bytes, url: str, separator: str, names: Sequence[str], skip_rows: int, quoted: bool, encoding: str
) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    bad_lines: list[tuple[int, str]] = []

    def put_away(row: arrow_csv.InvalidRow) -> str:
        bad_lines.append((row.number, row.text.replace(UNIT_SEPARATOR, "::")))
        return "skip"

    try:
        cells = arrow_csv.read_csv(
            io.BytesIO(content),
            # One thread, or the parser does not know the numbers of the lines that it rejects.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, encoding=encoding, column_names=names, skip_rows=skip_rows
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                ignore_empty_lines=False,
                invalid_row_handler=put_away,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(
            f"{url} is no {encoding} text separated by {separator!r}: {str(error).splitlines()[0]}"
        ) from None
    return pl.DataFrame(cells), bad_lines


def _header(content: bytes, url: str, separator: str, quoted: bool, encoding: str) -> list[str]:
    first = content.split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").rstrip(b"\r")
    try:
        line = first.decode(encoding)
        names = next(csv.reader([line], delimiter=separator, strict=True)) if quoted else line.split(separator)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the first line of {url} is no {encoding} header separated by {separator!r}: {error}"
        ) from None
    if len(set(names)) < len(names):
        raise DataError(f"{url} names a column twice: {', '.join(names)}; rename one")
    return names


def _check_quotes(cells: pl.DataFrame, content: bytes, num_lines: int, url: str) -> None:
    """An open quote swallows the lines after it into one cell: that is a damaged file, not a long cell."""
    if content.count(b"\n") <= num_lines:
        return
    breaks = cells.with_row_index("row").with_columns(
        pl.max_horizontal(pl.all().exclude("row").str.count_matches("\n", literal=True)).alias("breaks")
    )
    swallowed = breaks.filter(pl.col("breaks") > MAX_CELL_LINES)
    if swallowed.height:
        raise DataError(
            f"{url} has a quote that is opened near row {swallowed['row'][0] + 1} and not closed within "
            f"{MAX_CELL_LINES} lines; repair that line or turn quoting off in the mapping"
        )


def _number_lines(cells: pl.DataFrame, bad_lines: Sequence[int], *, num_header_lines: int) -> pl.DataFrame:
    """Adds `line`, counting the lines that were put away; then drops the blank ones."""
    numbers = np.arange(1, cells.height + len(bad_lines) + 1) + num_header_lines
    numbers = np.delete(numbers, np.asarray(bad_lines, dtype=np.int64) - 1 - num_header_lines)
    frame = cells.insert_column(0, pl.Series(columns.LINE, numbers, dtype=pl.Int64))
    return frame.filter(pl.any_horizontal(pl.all().exclude(columns.LINE) != ""))


def _malformed(table: str, bad_lines: Sequence[tuple[int, str]]) -> pl.DataFrame:
    rows = [(table, line, MALFORMED, json.dumps({"text": text}, ensure_ascii=False)) for line, text in bad_lines]
    return pl.DataFrame(rows, schema=QUARANTINE, orient="row")
