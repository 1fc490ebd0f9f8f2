"""The log has the dirt that it claims, in the stated shares, and the truth file knows which row is which."""

import polars as pl
import pytest

from raconteur.config.schema import WorldConfig
from raconteur.data.world.rows import CAUSES, INTENDED
from raconteur.data.world.write import simulate

PER_INTENT = {"impression": 1.2, "accident": 0.35, "trailer": 0.25, "replay": 0.3, "search": 0.2, "other": 0.25}


def _of(told: pl.DataFrame, cause: str) -> pl.DataFrame:
    return told.filter(pl.col("cause") == cause)


def _context(key: str) -> pl.Expr:
    return pl.col("context").list.eval(pl.element().filter(pl.element().struct.field("key") == key)).list.first()


@pytest.mark.parametrize(("cause", "rate"), PER_INTENT.items())
def test_dirt_rate_per_intended_play_is_near_the_stated_one(told_events: pl.DataFrame, cause: str, rate: float) -> None:
    found = _of(told_events, cause).height / _of(told_events, "intended").height
    # The household share of 400 users is itself drawn, so the other person's rate varies most.
    assert found == pytest.approx(rate, rel=0.3 if cause == "other" else 0.08)


def test_intended_plays_are_near_the_asked_number_and_long(
    told_events: pl.DataFrame, small_config: WorldConfig
) -> None:
    intended = _of(told_events, "intended")
    assert intended.height / small_config.num_users == pytest.approx(small_config.mean_intents, rel=0.15)
    assert set(intended["event_type"]) == {"play"}
    assert intended["value"].min() >= 10
    bots = _of(told_events, "bot")["user_id"].n_unique()
    plays = intended.group_by("user_id").len()
    assert plays["len"].min() >= 3
    assert plays.height + bots == small_config.num_users


def test_accidents_are_short_and_impressions_have_no_value(told_events: pl.DataFrame) -> None:
    accidents = _of(told_events, "accident")
    assert set(accidents["event_type"]) == {"play"}
    assert accidents["value"].is_between(0.2, 4.0).all()
    assert _of(told_events, "impression")["value"].null_count() == _of(told_events, "impression").height


def test_searches_carry_a_query_and_half_precede_their_item(told_events: pl.DataFrame) -> None:
    searches = _of(told_events, "search").with_columns(_context("query").struct.field("value").alias("query"))
    assert searches["query"].null_count() == 0
    assert (searches["actor"] == "self").mean() == pytest.approx(0.5, abs=0.06)
    wanted = searches.filter(pl.col("actor") == "self").select("session_id", "item_id").unique()
    played = _of(told_events, "intended").select("session_id", "item_id").unique()
    assert wanted.join(played, on=["session_id", "item_id"], how="anti").is_empty()


def test_other_person_uses_a_device_of_their_own(told_events: pl.DataFrame) -> None:
    devices = told_events.with_columns(_context("device").struct.field("value").alias("device"))
    other = set(_of(devices, "other")["device"])
    assert other
    assert not other & set(_of(devices, "intended")["device"])


def test_duplicates_repeat_an_earlier_row_exactly(told_events: pl.DataFrame) -> None:
    columns = ["user_id", "item_id", "event_time", "event_type", "value", "session_id"]
    copies = _of(told_events, "duplicate")
    assert copies.height / told_events.height == pytest.approx(0.005, rel=0.4)
    originals = told_events.filter(pl.col("cause") != "duplicate").select(*columns, pl.col("row").alias("first"))
    matched = copies.join(originals, on=columns, nulls_equal=True)
    assert matched["row"].n_unique() == copies.height
    assert (matched["first"] < matched["row"]).all()


def test_late_rows_are_about_one_percent_and_out_of_order(told_events: pl.DataFrame) -> None:
    assert told_events["late"].mean() == pytest.approx(0.01, rel=0.3)
    behind = told_events["event_time"].cum_max() - told_events["event_time"]
    assert (behind.dt.total_minutes() > 30).mean() > 0.005


def test_bots_play_at_inhuman_rate(told_events: pl.DataFrame) -> None:
    bots = _of(told_events, "bot").sort("user_id", "event_time")
    gaps = bots.select(pl.col("event_time").diff().over("session_id").dt.total_seconds())["event_time"].drop_nulls()
    assert bots["user_id"].n_unique() <= 12
    assert gaps.median() < 20


def test_noise_changes_the_dirt_but_not_what_was_intended(small_config: WorldConfig) -> None:
    noisy = simulate(small_config).rows
    clean = simulate(small_config.model_copy(update={"noise": 0.0})).rows
    assert {CAUSES[cause] for cause in clean["cause"]} == {"intended"}
    kept = noisy[noisy["cause"] == INTENDED]
    assert sorted(kept[["user", "time", "item"]].tolist()) == sorted(clean[["user", "time", "item"]].tolist())
