from datetime import UTC, datetime

import polars as pl
import pytest

from raconteur import columns
from raconteur.data.contracts import check
from raconteur.data.dataset import ITEMS, QUARANTINE, RAW_EVENTS, STRING_MAP
from raconteur.data.raw import MALFORMED, NO_CUSTOMER, RawLog, TimeFormat
from raconteur.errors import DataError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
TEXT_COLUMNS = (columns.USER_ID, columns.ITEM_ID, columns.EVENT_TIME, columns.EVENT_TYPE, columns.VALUE)

# Line, user, item, time, type, value; the expected reason stands behind.
DIRT = [
    (2, "u", "a", "2024-01-01 10:00:00", "play", "1.5", None),
    (3, " ", "a", "2024-01-01 10:00:00", "play", "1", "empty user_id"),
    (4, "u", "", "2024-01-01 10:00:00", "play", "1", "empty item_id"),
    (5, "u", "a", "", "play", "1", "missing event_time"),
    (6, "u", "a", "yesterday", "play", "1", "unreadable event_time"),
    (7, "u", "a", "2024-06-01 00:00:01", "play", "1", "event in the future"),
    (8, "u", "a", "2024-01-02 10:00:00", "play", "two", "value is no number"),
    (9, "u", "a", "2024-01-03 10:00:00", "play", "nan", "value is not finite"),
    (10, "u", "a", "2024-01-03 10:00:00", "play", "-inf", "value is not finite"),
    (11, "u", "zzz", "2024-01-04 10:00:00", "play", "", "unknown item"),
    (12, "u", "a", "2024-01-01 10:00:00", "play", "1.50", "exact duplicate event"),
    (13, "u", "a", "2024-01-04 10:00:00", "", "1", "empty event_type"),
    (14, "u", "b", "2023-12-31 10:00:00", "play", "", None),
]


def raw_log(rows: list[tuple], *, with_catalogue: bool = True, **changes: object) -> RawLog:
    events = pl.DataFrame([row[:6] for row in rows], schema=[columns.LINE, *TEXT_COLUMNS], orient="row")
    items = pl.DataFrame({columns.LINE: [1, 2], columns.ITEM_ID: ["a", "b"], columns.TITLE: ["A", ""]})
    fields = {"source": "log.csv", "value_unit": None, "events": events, "items": items if with_catalogue else None}
    return RawLog(**(fields | changes))


def test_check_every_kind_of_dirt_is_put_away_with_line_and_reason() -> None:
    checked = check(raw_log(DIRT), now=NOW)
    expected = [(line, reason) for line, *_, reason in DIRT if reason]
    assert checked.quarantine.select(columns.LINE, columns.REASON).rows() == expected
    assert checked.quarantine["table"].unique().to_list() == ["events"]
    assert checked.events[columns.ITEM_ID].to_list() == ["a", "b"]
    assert checked.num_rows == {"events": 13, "items": 2}


def test_check_good_rows_get_the_types_of_the_contract() -> None:
    checked = check(raw_log(DIRT), now=NOW)
    assert checked.events.schema == RAW_EVENTS
    assert checked.items.schema == ITEMS
    assert checked.quarantine.schema == QUARANTINE
    first = checked.events.row(0, named=True)
    assert first[columns.EVENT_TIME] == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert first[columns.VALUE] == 1.5
    assert checked.events[columns.VALUE].to_list() == [1.5, None]


def test_check_quarantine_keeps_the_row_as_it_was_written() -> None:
    quarantine = check(raw_log(DIRT), now=NOW).quarantine
    row = quarantine.filter(pl.col(columns.LINE) == 8)["row"].str.json_decode(pl.Struct({"value": pl.String}))
    assert row[0]["value"] == "two"


def test_check_source_without_catalogue_derives_items_from_good_events() -> None:
    checked = check(raw_log(DIRT, with_catalogue=False), now=NOW)
    assert checked.items[columns.ITEM_ID].to_list() == ["a", "b", "zzz"]
    assert checked.items[columns.TITLE].to_list() == ["a", "b", "zzz"]
    assert checked.items[columns.AVAILABLE].all()
    assert checked.num_untitled == 3


def test_check_item_without_title_is_called_by_its_id() -> None:
    checked = check(raw_log(DIRT), now=NOW)
    assert checked.items[columns.TITLE].to_list() == ["A", "b"]
    assert checked.num_untitled == 1


def test_check_too_many_bad_rows_fails_with_counts_by_reason() -> None:
    with pytest.raises(
        DataError, match=r"11 of 13 rows of events .*value is not finite 2.*line 3 .*raise data.max_quar"
    ):
        check(raw_log(DIRT), now=NOW, max_quarantine=0.05)


def test_check_share_exactly_at_the_limit_passes() -> None:
    assert check(raw_log(DIRT), now=NOW, max_quarantine=11 / 13).events.height == 2


def test_check_expected_reason_does_not_count_as_bad() -> None:
    events = raw_log(DIRT[:1] * 3).events.with_columns(
        pl.Series(columns.REASON, [None, NO_CUSTOMER, NO_CUSTOMER]), pl.Series(columns.ITEM_ID, ["a", "a", "b"])
    )
    checked = check(raw_log([], events=events), now=NOW, max_quarantine=0.0)
    assert checked.quarantine[columns.REASON].to_list() == [NO_CUSTOMER] * 2
    assert checked.events.height == 1


def test_check_malformed_lines_count_as_bad_rows() -> None:
    malformed = pl.DataFrame([("events", 99, MALFORMED, "{}")], schema=QUARANTINE, orient="row")
    checked = check(raw_log(DIRT[:1], malformed=malformed), now=NOW)
    assert checked.num_rows["events"] == 2
    with pytest.raises(DataError, match="1 of 2 rows"):
        check(raw_log(DIRT[:1], malformed=malformed), now=NOW, max_quarantine=0.1)


def test_check_no_good_event_left_fails() -> None:
    with pytest.raises(DataError, match=r"log\.csv holds no good event: empty user_id 1"):
        check(raw_log(DIRT[1:2]), now=NOW)


def test_check_same_event_in_another_context_is_no_duplicate() -> None:
    contexts = [
        [{"key": "device", "value": "tv"}],
        [{"key": "device", "value": "phone"}],
        [{"key": "device", "value": "tv"}],
    ]
    events = raw_log(DIRT[:1] * 3).events.with_columns(pl.Series(columns.CONTEXT, contexts, dtype=STRING_MAP))
    checked = check(raw_log([], events=events), now=NOW)
    assert checked.events.height == 2
    assert checked.quarantine[columns.REASON].to_list() == ["exact duplicate event"]


def test_check_bad_items_and_users_are_put_away() -> None:
    items = pl.DataFrame(
        {
            columns.LINE: [1, 2, 3, 4, 5],
            columns.ITEM_ID: ["a", "a", "", "c", "d"],
            columns.RELEASED: ["1999-12-31", "", "", "soon", None],
            columns.AVAILABLE: ["true", "", "", "", "maybe"],
        }
    )
    users = pl.DataFrame({columns.LINE: [1, 2, 3], columns.USER_ID: ["u", "u", None]})
    checked = check(raw_log(DIRT[:1], items=items, users=users), now=NOW)
    assert checked.quarantine.select("table", columns.LINE, columns.REASON).rows() == [
        ("items", 2, "duplicate item_id"),
        ("items", 3, "empty item_id"),
        ("items", 4, "released is no date"),
        ("items", 5, "available is no true or false"),
        ("users", 2, "duplicate user_id"),
        ("users", 3, "empty user_id"),
    ]
    assert checked.users is not None
    assert checked.users[columns.USER_ID].to_list() == ["u"]


def test_check_typed_columns_are_taken_as_they_are() -> None:
    events = pl.DataFrame(
        {
            columns.LINE: [1, 2, 3],
            columns.USER_ID: [7, 7, None],
            columns.ITEM_ID: ["a", "b", "a"],
            columns.EVENT_TIME: [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 1, 3)],
            columns.EVENT_TYPE: ["play"] * 3,
            columns.VALUE: [1, 2, 3],
        }
    )
    checked = check(raw_log([], events=events), now=NOW)
    assert checked.events[columns.USER_ID].to_list() == ["7", "7"]
    assert checked.events[columns.VALUE].to_list() == [1.0, 2.0]
    assert checked.events[columns.EVENT_TIME][1] == datetime(2024, 1, 2, tzinfo=UTC)


def test_check_column_of_a_wrong_type_names_it() -> None:
    events = raw_log(DIRT[:1]).events.with_columns(pl.Series(columns.VALUE, [[1.0]]))
    with pytest.raises(DataError, match="column value is of type List"):
        check(raw_log([], events=events), now=NOW)


def test_check_milliseconds_read_as_seconds_are_in_the_future() -> None:
    events = raw_log(DIRT[:1]).events.with_columns(pl.lit("1704103200000").alias(columns.EVENT_TIME))
    with pytest.raises(DataError, match="event in the future 1"):
        check(raw_log([], events=events, time=TimeFormat("s")), now=NOW)
    assert check(raw_log([], events=events, time=TimeFormat("ms")), now=NOW).events[columns.EVENT_TIME][0] == datetime(
        2024, 1, 1, 10, tzinfo=UTC
    )
