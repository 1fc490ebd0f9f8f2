"""Writes the newest row of every user and item to the online store, by default only rows that changed.

`FeatureStore.materialize` takes about as long for all rows (README), but cannot skip those that did not change, and
overwrites what was pushed since. What was written stands in `materialized/<view>.parquet` as hashes, put there after
the write, so a killed run writes its rows again.
"""

from pathlib import Path

import polars as pl
from feast import FeatureStore

from components.features.pushed import with_pushed_events, without_outdated
from components.features.store import open_store
from components.features.tables import read_table, write_table
from raconteur.columns import ITEM_ID, USER_ID
from raconteur.features import names as f
from raconteur.features.build import latest

KEYS = {f.USER_TABLE: USER_ID, f.ITEM_TABLE: ITEM_ID, f.NARRATIVE_TABLE: USER_ID}
CHUNK_ROWS = 500  # a transaction; short enough that a push of the serving path does not wait long
HASH = "hash"


def materialize(store: Path, *, everything: bool = False) -> dict[str, float]:
    """Returns the number of rows written for each view.

    Args:
        everything: also rows that were written before, for an online store that lost them.
    """
    feast = open_store(store)
    return {f"num_online_{view}": float(_materialize_view(feast, store, view, everything)) for view in KEYS}


def _materialize_view(feast: FeatureStore, store: Path, view: str, everything: bool) -> int:
    key = KEYS[view]
    rows = latest(read_table(store, view), key)
    hashes = rows.select(key, rows.drop(f.CREATED).hash_rows().alias(HASH))
    written = _written(store, view, hashes) if not everything else hashes.clear()
    fresh = rows.join(hashes.join(written, on=[key, HASH], how="anti"), on=key, how="semi")
    if view == f.USER_TABLE:
        fresh = with_pushed_events(feast, fresh, store)
    elif view == f.NARRATIVE_TABLE:
        fresh = without_outdated(feast, fresh)
    for chunk in fresh.iter_slices(CHUNK_ROWS):
        feast.write_to_online_store(view, chunk.to_pandas())
    (store / "materialized").mkdir(exist_ok=True)
    write_table(store / "materialized", view, hashes)
    return fresh.height


def _written(store: Path, view: str, hashes: pl.DataFrame) -> pl.DataFrame:
    known = store / "materialized" / f"{view}.parquet"
    return pl.read_parquet(known) if known.is_file() else hashes.clear()
