"""The point-in-time training set: what Feast knew about the user and the item at the moment of each target."""

from pathlib import Path

import polars as pl

from components.features.store import open_store
from raconteur.columns import EVENT_TIME, POSITION, USER_ID
from raconteur.features import names as f
from raconteur.features.moments import with_target_moments

SERVICE = "training_v1"


def training_set(store: Path, data: Path) -> pl.DataFrame:
    """One row a target of the split table, with `<view>__<feature>` columns; null where nothing was known yet.

    Args:
        data: the prepared data set from which the store's tables were built.
    """
    feast = open_store(store)
    events = pl.read_parquet(data / "events.parquet", columns=[USER_ID, POSITION, EVENT_TIME])
    targets = with_target_moments(pl.read_parquet(data / "split.parquet"), events)
    found = feast.get_historical_features(
        targets.drop(EVENT_TIME).to_pandas(), feast.get_feature_service(SERVICE), full_feature_names=True
    )
    return pl.DataFrame(found.to_arrow()).sort(USER_ID, POSITION)


def known_share(table: pl.DataFrame) -> float:
    """Share of the targets whose user had a feature row."""
    return float(table[f"{f.USER_TABLE}__{f.NUM_EVENTS}"].is_not_null().mean() or 0.0)
