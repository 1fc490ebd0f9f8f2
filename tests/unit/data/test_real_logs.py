"""Each real log against the facts in its SOURCE.md."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from raconteur import columns
from raconteur.config.schema import DataConfig
from raconteur.data.contracts import Checked, check
from raconteur.data.source import read_source
from raconteur.data.splits import leave_one_out, order_events

pytestmark = pytest.mark.shared


def read(folder: Path, layout: str) -> Checked:
    config = DataConfig(layout=layout, path=str(folder))
    return check(read_source(config, world=Path("unused")), now=datetime.now(UTC), max_quarantine=config.max_quarantine)


def size(checked: Checked) -> tuple[int, int, int, int]:
    events = checked.events
    num_users, num_touched = events[columns.USER_ID].n_unique(), events[columns.ITEM_ID].n_unique()
    return events.height, num_users, num_touched, checked.items.height


def lengths(checked: Checked) -> tuple[int, float, int]:
    counts = checked.events[columns.USER_ID].value_counts()["count"]
    return counts.min(), counts.median(), counts.max()


def test_ml_latest_small_reads_as_described(shared_data: Path) -> None:
    checked = read(shared_data / "ml-latest-small", "movielens")
    assert size(checked) == (100_836, 610, 9_724, 9_742)
    assert lengths(checked) == (20, 70.5, 2_698)
    assert checked.quarantine.is_empty()
    assert checked.events[columns.EVENT_TIME].min() == datetime(1996, 3, 29, 18, 36, 55, tzinfo=UTC)
    assert checked.events[columns.VALUE].unique().sort().to_list() == [half / 2 for half in range(1, 11)]


def test_ml_1m_rebuilt_reads_as_described_and_in_the_known_order(shared_data: Path) -> None:
    checked = read(shared_data / "ml-1m", "movielens")
    assert size(checked) == (1_000_209, 6_040, 3_706, 3_883)
    assert checked.quarantine.is_empty()
    stars = checked.events[columns.VALUE].value_counts().sort(columns.VALUE)["count"].to_list()
    assert stars == [56_174, 107_557, 261_197, 348_971, 226_310]
    assert checked.users is not None
    assert checked.users.height == 6_040
    ordered = order_events(checked.events, targets=["rating"], min_value=None)
    assert leave_one_out(ordered).height == 2 * 6_040
    known = pl.read_csv(shared_data / "ml-1m" / "ratings_rebuilt.csv.gz", infer_schema=False).select(
        pl.col("user_id"), pl.col("movie_id").alias(columns.ITEM_ID), pl.col("order_in_user").cast(pl.Int64)
    )
    joined = ordered.join(known, on=[columns.USER_ID, columns.ITEM_ID])
    assert joined.height == 1_000_209
    assert (joined[columns.POSITION] + 1 == joined["order_in_user"]).all()


def test_movietweetings_reads_as_described(shared_data: Path) -> None:
    checked = read(shared_data / "movietweetings-100k", "movietweetings")
    assert size(checked) == (100_000, 16_554, 10_506, 10_506)
    assert lengths(checked) == (1, 2.0, 320)
    assert checked.quarantine.is_empty()
    assert (checked.items[columns.CATEGORIES].list.len() == 0).sum() == 66
    assert checked.events[columns.VALUE].mean() == pytest.approx(7.32, abs=0.005)


def test_amazon_sequences_read_as_described(shared_data: Path) -> None:
    checked = read(shared_data / "amazon-video-games-2018", "sequences")
    assert size(checked) == (440_264, 50_546, 16_859, 16_859)
    assert lengths(checked) == (5, 6.0, 50)
    assert checked.quarantine.is_empty()
    assert checked.items[columns.TITLE].str.len_chars().max() == 683


def test_online_retail_reads_as_described(shared_data: Path) -> None:
    checked = read(shared_data / "online-retail-2009-2010", "retail")
    assert checked.num_rows["events"] == 525_461
    reasons = dict(checked.quarantine[columns.REASON].value_counts().iter_rows())
    # 6,865 full duplicate lines in the file, 94 of them without a customer.
    assert reasons == {"no customer": 107_927, "exact duplicate event": 6_771}
    assert checked.events.height == 525_461 - 107_927 - 6_771
    assert checked.events[columns.USER_ID].n_unique() == 4_383
    assert checked.events[columns.ITEM_ID].n_unique() == 4_031
    purchases = checked.events.filter(pl.col(columns.EVENT_TYPE) == "purchase")
    repeated = checked.quarantine.filter(pl.col(columns.REASON) == "exact duplicate event")["row"]
    num_repeated = repeated.str.contains('"event_type":"purchase"', literal=True).sum()
    assert purchases.height + num_repeated == 406_323
    assert purchases[columns.USER_ID].n_unique() == 4_285
    assert purchases[columns.ITEM_ID].n_unique() == 4_006
    assert purchases.select(columns.USER_ID, columns.ITEM_ID).n_unique() == 273_844
    assert purchases[columns.EVENT_TIME].min() == datetime(2009, 12, 1, 7, 45, tzinfo=UTC)
    assert purchases[columns.EVENT_TIME].max() == datetime(2010, 12, 9, 20, 1, tzinfo=UTC)
