"""The names of feature columns and tables, in one place, for the tables, the Feast views and the online reader."""

EVENT_TIMESTAMP = "event_timestamp"  # from this moment on the row may be used
CREATED = "created"  # wall clock of the computation; the later of two rows of one moment wins

# Users. Counts cover every event before the row's moment.
NUM_EVENTS = "num_events"
NUM_TARGETS = "num_targets"  # takes
NUM_TRIES = "num_tries"  # events of a type by which items are taken; the rest of them was too short or too low
NUM_ITEMS = "num_items"  # distinct items touched in any way
NUM_VALUES = "num_values"  # takes that carry a value
VALUE_TOTAL = "value_total"  # sum of those values; unit in the data set's manifest
MEAN_VALUE = "mean_value"  # null without values
SHARE_SHORT = "share_short"  # tries that are no take; null without tries
DAYS_SINCE_LAST = "days_since_last"  # from the last event to the row's moment; null without events
LAST_EVENT_US = "last_event_us"  # microseconds since 1970, UTC: Feast keeps its own timestamps in whole seconds
CATEGORY_NAMES = "category_names"  # every category taken, most taken first, then by name
CATEGORY_COUNTS = "category_counts"  # takes a category, in the order of the names
TOP_CATEGORIES = "top_categories"  # the first few names
RECENT_ITEMS = "recent_items"  # items taken, oldest first
RECENT_EVENTS = "recent_events"  # newest raw events, oldest first, one JSON object a line
SEEN_ITEMS = "seen_items"  # distinct items touched in any way, in the order of the first touch

# Items.
NUM_RECENT_TARGETS = "num_recent_targets"  # takes within the last RECENT_DAYS before the row's moment
RECENT_DAYS = 7

# Narratives (see types.Narrative).
TEXT = "text"
VERBALIZER_VERSION = "verbalizer_version"
CATALOGUE_VERSION = "catalogue_version"
AS_OF = "as_of"
AS_OF_US = "as_of_us"
NUM_TOKENS = "num_tokens"

USER_TABLE = "user_features"
ITEM_TABLE = "item_features"
NARRATIVE_TABLE = "narratives"

NUM_TOP_CATEGORIES = 3

# Feast's push sources.
USER_PUSH = "user_push"
NARRATIVE_PUSH = "narrative_push"
