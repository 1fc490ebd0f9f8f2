"""Keeps what the serving path pushed since the log was cut: a batch row must not take a user back in time.

Of events only the newest that a row holds (`text.max_events`) can be applied again; older ones come with the next log.
A narrative that the serving path had written of later events stands until a later one comes.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from feast import FeatureStore

from components.features.tables import read_table
from raconteur.columns import CATEGORIES, ITEM_ID, USER_ID
from raconteur.features import names as f
from raconteur.features.recent import decode_events
from raconteur.features.rules import Rules, load_rules
from raconteur.features.state import advance, from_us, row_state, state_row

CHUNK_USERS = 500
EVENTS = {f.LAST_EVENT_US: pl.Int64, f.RECENT_EVENTS: pl.String}
MOMENT = {f.AS_OF_US: pl.Int64}


def with_pushed_events(feast: FeatureStore, rows: pl.DataFrame, store: Path) -> pl.DataFrame:
    """The user rows, moved on by online events that are newer than the row."""
    online = _online(feast, f.USER_TABLE, EVENTS, rows[USER_ID].to_list())
    newer = rows.join(online, on=USER_ID, suffix="_online", maintain_order="left").filter(
        pl.col(f"{f.LAST_EVENT_US}_online") > pl.col(f.LAST_EVENT_US)
    )
    if newer.is_empty():
        return rows
    rules = load_rules(store)
    catalogue = read_table(store, f.ITEM_TABLE).select(ITEM_ID, CATEGORIES).unique(ITEM_ID)
    categories = {item: names or [] for item, names in catalogue.iter_rows()}
    moved = pl.DataFrame([_moved(row, categories, rules) for row in newer.iter_rows(named=True)], schema=rows.schema)
    return pl.concat([rows.join(moved, on=USER_ID, how="anti"), moved])


def without_outdated(feast: FeatureStore, rows: pl.DataFrame) -> pl.DataFrame:
    """The narratives without those whose online row covers a later moment."""
    online = _online(feast, f.NARRATIVE_TABLE, MOMENT, rows[USER_ID].to_list())
    later = rows.join(online, on=USER_ID, suffix="_online").filter(pl.col(f"{f.AS_OF_US}_online") > pl.col(f.AS_OF_US))
    return rows.join(later, on=USER_ID, how="anti", maintain_order="left")


def _online(feast: FeatureStore, view: str, columns: Mapping[str, type[pl.DataType]], users: list[str]) -> pl.DataFrame:
    schema = pl.Schema({USER_ID: pl.String, **columns})
    features = [f"{view}:{name}" for name in columns]
    chunks = [users[start : start + CHUNK_USERS] for start in range(0, len(users), CHUNK_USERS)]
    parts = [feast.get_online_features(features, {USER_ID: chunk}).to_dict() for chunk in chunks]
    return pl.concat([pl.DataFrame(schema=schema), *(pl.DataFrame(part, schema=schema) for part in parts)])


def _moved(row: dict, categories: dict[str, list[str]], rules: Rules) -> dict:
    state = row_state(row)
    since = from_us(row[f.LAST_EVENT_US])
    online = decode_events(row[f"{f.RECENT_EVENTS}_online"])
    events = [event for event in online if (since is None or event.event_time > since) and event.item_id in categories]
    if not events:
        return row
    moved = advance(state, events, categories=categories, rules=rules)
    return {**row, **state_row(moved), f.EVENT_TIMESTAMP: max(row[f.EVENT_TIMESTAMP], moved.last_event_time)}
