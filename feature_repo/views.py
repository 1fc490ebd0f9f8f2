"""The feature views; `raconteur.features.names` says what each column means.

No view expires (ttl 0): real logs are years old, and a user who comes back after a year still has a history.
"""

from datetime import timedelta

# Siblings, not `feature_repo.entities`: Feast imports the files of this folder by their bare names.
from entities import item, user
from feast import FeatureView, Field
from feast.types import Array, Bool, Float64, Int64, String
from sources import item_table, narrative_push, user_push

from raconteur import columns as c
from raconteur.features import names as f

FOREVER = timedelta(0)

user_features = FeatureView(
    name=f.USER_TABLE,
    entities=[user],
    ttl=FOREVER,
    schema=[
        Field(name=c.USER_ID, dtype=String),
        Field(name=f.NUM_EVENTS, dtype=Int64),
        Field(name=f.NUM_TARGETS, dtype=Int64),
        Field(name=f.NUM_TRIES, dtype=Int64),
        Field(name=f.NUM_ITEMS, dtype=Int64),
        Field(name=f.NUM_VALUES, dtype=Int64),
        Field(name=f.VALUE_TOTAL, dtype=Float64),
        Field(name=f.MEAN_VALUE, dtype=Float64),
        Field(name=f.SHARE_SHORT, dtype=Float64),
        Field(name=f.DAYS_SINCE_LAST, dtype=Float64),
        Field(name=f.LAST_EVENT_US, dtype=Int64),
        Field(name=f.CATEGORY_NAMES, dtype=Array(String)),
        Field(name=f.CATEGORY_COUNTS, dtype=Array(Int64)),
        Field(name=f.TOP_CATEGORIES, dtype=Array(String)),
        Field(name=f.RECENT_ITEMS, dtype=Array(String)),
        Field(name=f.RECENT_EVENTS, dtype=String),
        Field(name=f.SEEN_ITEMS, dtype=Array(String)),
    ],
    source=user_push,
    online=True,
)

item_features = FeatureView(
    name=f.ITEM_TABLE,
    entities=[item],
    ttl=FOREVER,
    schema=[
        Field(name=c.ITEM_ID, dtype=String),
        Field(name=c.TITLE, dtype=String),
        Field(name=c.CATEGORIES, dtype=Array(String)),
        Field(name=c.RELEASED, dtype=String, description="ISO date; null where the catalogue has none"),
        Field(name=c.AVAILABLE, dtype=Bool),
        Field(name=f.NUM_EVENTS, dtype=Int64),
        Field(name=f.NUM_TARGETS, dtype=Int64),
        Field(name=f.NUM_RECENT_TARGETS, dtype=Int64),
    ],
    source=item_table,
    online=True,
)

narratives = FeatureView(
    name=f.NARRATIVE_TABLE,
    entities=[user],
    ttl=FOREVER,
    schema=[
        Field(name=c.USER_ID, dtype=String),
        Field(name=f.TEXT, dtype=String),
        Field(name=f.VERBALIZER_VERSION, dtype=String),
        Field(name=f.CATALOGUE_VERSION, dtype=String),
        Field(name=f.AS_OF_US, dtype=Int64),
        Field(name=f.NUM_TOKENS, dtype=Int64),
    ],
    source=narrative_push,
    online=True,
)
