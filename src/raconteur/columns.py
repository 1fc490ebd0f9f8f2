"""The names of columns and tables, in one place.

Every reader, contract, feature and report takes its column names from here; no other file spells one out.
"""

USER_ID = "user_id"
ITEM_ID = "item_id"
EVENT_TIME = "event_time"
EVENT_TYPE = "event_type"
VALUE = "value"
SESSION_ID = "session_id"
CONTEXT = "context"

TITLE = "title"
DESCRIPTION = "description"
CATEGORIES = "categories"
RELEASED = "released"
AVAILABLE = "available"
ATTRIBUTES = "attributes"

# Added when a log is prepared.
POSITION = "position"  # 0-based place of the event in its user's history, by time then file order
IS_TARGET = "is_target"  # True where the event says that the user took the item (see data.targets in the config)
LINE = "line"  # 1-based line (or row) of the source file, for quarantine
REASON = "reason"

# Splits and candidate lists.
SPLIT = "split"  # train | validation | test
DISCOVERY = "discovery"  # the user never touched the item before, in any way
NEGATIVES = "negatives"  # how the other candidates were drawn: popularity | retrieved | uniform
CANDIDATES = "candidates"
TRUTH = "truth"  # index of the true item in the candidate list
