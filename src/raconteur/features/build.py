"""The features step: point-in-time feature tables of a prepared data set.

Users have a row just before each of their targets and one now, so that a join at a target's moment finds what was
known then. Called by components/features and `raconteur features`; the Feast side starts from the folder written here.
"""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from raconteur.artifacts import new_folder
from raconteur.columns import USER_ID
from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.features import names as f
from raconteur.features.item import item_features, snapshot_times
from raconteur.features.rules import Rules, save_rules
from raconteur.features.user import user_features, user_keys

NUM_ITEM_SNAPSHOTS = 8


def build_features(config: Config, data: Path, out: Path) -> dict[str, float]:
    """Writes `user_features.parquet`, `item_features.parquet` and `rules.json` into the folder `out`.

    Args:
        data: a prepared data set.

    Raises:
        DataError: the data set lacks a table or holds no event.
    """
    events, items, split = (_read(data / f"{name}.parquet") for name in ("events", "items", "split"))
    if events.is_empty():
        raise DataError(f"{data} holds no event to build features from; prepare a log with at least one")
    rules, created = Rules.of(config), pl.lit(datetime.now(UTC)).alias(f.CREATED)
    users = user_features(events, items, user_keys(events, split), rules=rules).with_columns(created)
    catalogue = item_features(events, items, times=snapshot_times(events, num_snapshots=NUM_ITEM_SNAPSHOTS))
    metrics = _metrics(users, catalogue)
    with new_folder(out, kind="features", config=config.model_dump(mode="json"), metrics=metrics) as folder:
        users.write_parquet(folder / f"{f.USER_TABLE}.parquet")
        catalogue.with_columns(created).write_parquet(folder / f"{f.ITEM_TABLE}.parquet")
        save_rules(rules, folder)
    return metrics


def latest(table: pl.DataFrame, key: str) -> pl.DataFrame:
    """The newest row of each user or item: of the last computation, and there of the latest moment."""
    return table.sort(f.CREATED, f.EVENT_TIMESTAMP).unique(key, keep="last", maintain_order=True)


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read ({error}); run the prepare step again") from None


def _metrics(users: pl.DataFrame, items: pl.DataFrame) -> dict[str, float]:
    now = latest(users, USER_ID)
    return {
        "num_users": float(now.height),
        "num_user_rows": float(users.height),
        "num_item_rows": float(items.height),
        "mean_num_events": float(now.select(pl.col(f.NUM_EVENTS).mean()).item()),
        "mean_num_targets": float(now.select(pl.col(f.NUM_TARGETS).mean()).item()),
    }
