"""User features as of given moments, as pure functions over frames.

A key says which of a user's events count: those with a position below `before`. Nothing else of the log is looked at,
so a row cannot leak what came later (tests/unit/features/test_user.py proves it by property). `state.advance` does the
same for single events online, and a property holds the two equal.
"""

import polars as pl

from raconteur.columns import CATEGORIES, EVENT_TIME, EVENT_TYPE, IS_TARGET, ITEM_ID, POSITION, USER_ID, VALUE
from raconteur.features import names as f
from raconteur.features.moments import with_moments, with_target_moments
from raconteur.features.recent import event_lines
from raconteur.features.rules import Rules

BEFORE = "before"
KEY = [USER_ID, BEFORE]


def user_keys(events: pl.DataFrame, split: pl.DataFrame) -> pl.DataFrame:
    """Rows `user_id, event_timestamp, before`: just before each target of the split table, and now for every user.

    Now is one microsecond after the last moment of the log.
    """
    targets = with_target_moments(split, events).select(USER_ID, f.EVENT_TIMESTAMP, pl.col(POSITION).alias(BEFORE))
    now = with_moments(events).select(pl.col(f.EVENT_TIMESTAMP).max() + pl.duration(microseconds=1))
    users = events.group_by(USER_ID).agg((pl.col(POSITION).max() + 1).alias(BEFORE))
    current = users.join(now, how="cross").select(USER_ID, f.EVENT_TIMESTAMP, BEFORE)
    return pl.concat([targets, current]).sort(USER_ID, f.EVENT_TIMESTAMP)


def user_features(events: pl.DataFrame, items: pl.DataFrame, keys: pl.DataFrame, *, rules: Rules) -> pl.DataFrame:
    """One row of features a key, in the order of `keys`; see `names` for what each column means.

    Args:
        events: the prepared event table, sorted by user_id, position.
        items: the catalogue, for categories.
        keys: `user_id, event_timestamp, before` (see the module).
    """
    facts = [USER_ID, ITEM_ID, EVENT_TIME, EVENT_TYPE, VALUE, POSITION, IS_TARGET]
    seen = _before(keys, events.select(facts))
    lines = _before(keys, events.select(USER_ID, POSITION, event_lines().alias(f.RECENT_EVENTS)))
    parts = [_counts(seen, rules), _recent_items(seen, rules), _recent_events(lines, rules), _categories(seen, items)]
    table = keys
    for part in parts:
        table = table.join(part, on=KEY, how="left", maintain_order="left")
    return _finish(table).drop(BEFORE)


def _before(keys: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The events that each key may see, in the order of their positions."""
    seen = keys.select(KEY).join(events, on=USER_ID).filter(pl.col(POSITION) < pl.col(BEFORE))
    return seen.sort(*KEY, POSITION)


def _counts(seen: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    taken_values = pl.col(VALUE).filter(IS_TARGET)
    return seen.group_by(KEY).agg(
        pl.len().cast(pl.Int64).alias(f.NUM_EVENTS),
        pl.col(IS_TARGET).sum().cast(pl.Int64).alias(f.NUM_TARGETS),
        pl.col(EVENT_TYPE).is_in(list(rules.targets)).sum().cast(pl.Int64).alias(f.NUM_TRIES),
        pl.col(ITEM_ID).n_unique().cast(pl.Int64).alias(f.NUM_ITEMS),
        taken_values.count().cast(pl.Int64).alias(f.NUM_VALUES),
        taken_values.sum().alias(f.VALUE_TOTAL),
        pl.col(EVENT_TIME).max().dt.epoch("us").alias(f.LAST_EVENT_US),
        pl.col(ITEM_ID).unique(maintain_order=True).alias(f.SEEN_ITEMS),
    )


def _recent_items(seen: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    taken = seen.filter(IS_TARGET)
    return taken.group_by(KEY).agg(pl.col(ITEM_ID).tail(rules.num_recent_items).alias(f.RECENT_ITEMS))


def _recent_events(seen: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    newest = seen.filter(pl.col(POSITION) >= pl.col(BEFORE) - rules.num_recent_events)
    return newest.group_by(KEY, maintain_order=True).agg(pl.col(f.RECENT_EVENTS).str.join("\n"))


def _categories(seen: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    taken = seen.filter(IS_TARGET).select(*KEY, ITEM_ID).join(items.select(ITEM_ID, CATEGORIES), on=ITEM_ID)
    counts = taken.explode(CATEGORIES).drop_nulls(CATEGORIES).group_by(*KEY, CATEGORIES).len(f.CATEGORY_COUNTS)
    ordered = counts.sort([f.CATEGORY_COUNTS, CATEGORIES], descending=[True, False])
    return ordered.group_by(KEY, maintain_order=True).agg(
        pl.col(CATEGORIES).alias(f.CATEGORY_NAMES), pl.col(f.CATEGORY_COUNTS).cast(pl.Int64)
    )


def _finish(table: pl.DataFrame) -> pl.DataFrame:
    """Fills what an empty history leaves open and derives the ratios."""
    counts = [f.NUM_EVENTS, f.NUM_TARGETS, f.NUM_TRIES, f.NUM_ITEMS, f.NUM_VALUES, f.VALUE_TOTAL]
    lists = [f.SEEN_ITEMS, f.RECENT_ITEMS, f.CATEGORY_NAMES, f.CATEGORY_COUNTS]
    since_last = pl.col(f.EVENT_TIMESTAMP).dt.epoch("us") - pl.col(f.LAST_EVENT_US)
    return table.with_columns(
        pl.col(counts).fill_null(0), pl.col(lists).fill_null([]), pl.col(f.RECENT_EVENTS).fill_null("")
    ).with_columns(
        _ratio(f.VALUE_TOTAL, f.NUM_VALUES).alias(f.MEAN_VALUE),
        (1 - _ratio(f.NUM_TARGETS, f.NUM_TRIES)).alias(f.SHARE_SHORT),
        (since_last / 86_400_000_000).alias(f.DAYS_SINCE_LAST),
        pl.col(f.CATEGORY_NAMES).list.head(f.NUM_TOP_CATEGORIES).alias(f.TOP_CATEGORIES),
    )


def _ratio(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
