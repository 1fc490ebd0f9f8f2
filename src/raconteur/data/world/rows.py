"""The simulator's event rows as one NumPy record array, and how they become the contract's table.

Strings enter only at the end: a row holds indices of users, items, devices and queries.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raconteur import columns
from raconteur.data.world.catalogue import Catalogue
from raconteur.data.world.people import user_ids
from raconteur.data.world.vocabulary import DEVICES

EVENT_TYPES = ("play", "impression", "trailer", "search")
PLAY, IMPRESSION, TRAILER, SEARCH = range(4)

ACTORS = ("none", "self", "other", "bot")  # who wanted the row to happen
NOBODY, SELF, OTHER, BOT = range(4)

CAUSES = ("intended", "impression", "accident", "trailer", "replay", "search", "other", "bot", "duplicate", "fault")
INTENDED, SHOWN, ACCIDENT, TRAILED, REPLAYED, SEARCHED, OTHER_PERSON, BOT_BURST, DUPLICATE, FAULT = range(10)

ROW = np.dtype(
    [
        ("user", np.int32),
        ("item", np.int32),
        ("time", np.int64),  # microseconds since 1970, UTC
        ("arrival", np.int64),  # when the log received the row: its order in the file
        ("kind", np.int8),  # index of EVENT_TYPES
        ("value", np.float64),  # minutes; NaN: none
        ("session", np.int64),
        ("device", np.int8),  # index of DEVICES, -1: not logged
        ("episode", np.int16),  # 0-based within the series, -1: a film, or no play
        ("query", np.int8),  # which of the item's queries was typed, -1: none
        ("actor", np.int8),  # index of ACTORS
        ("cause", np.int8),  # index of CAUSES
    ]
)
Rows = npt.NDArray[np.void]
MAX_SEASONS = 3
MAX_SEASON = 10  # episodes
NUM_QUERIES = 3


def new_rows(count: int, **fields: npt.ArrayLike) -> Rows:
    """Rows with the given fields; the others say "none"."""
    rows = np.zeros(count, ROW)
    for name in ("device", "episode", "query"):
        rows[name] = -1
    rows["value"] = np.nan
    for name, values in fields.items():
        rows[name] = values
    return rows


def events_table(rows: Rows, catalogue: Catalogue, num_users: int) -> pa.Table:
    """The contract's events, in the order of `rows`."""
    return pa.table(
        {
            columns.USER_ID: pa.array(user_ids(num_users)).take(pa.array(rows["user"])),
            columns.ITEM_ID: catalogue.table[columns.ITEM_ID].to_arrow().cast(pa.string()).take(pa.array(rows["item"])),
            columns.EVENT_TIME: pa.array(rows["time"]).cast(pa.timestamp("us", tz="UTC")),
            columns.EVENT_TYPE: pa.array(EVENT_TYPES).take(pa.array(rows["kind"])),
            columns.VALUE: pa.array(np.round(rows["value"], 1), from_pandas=True),
            columns.SESSION_ID: _session_ids(rows["session"]),
            columns.CONTEXT: _contexts(rows, catalogue),
        }
    )


def intents_table(rows: Rows) -> pa.Table:
    """The truth about each row of `events_table`, in the same order."""
    return pa.table(
        {
            "row": np.arange(len(rows)),
            "intended": (rows["cause"] == INTENDED) | (rows["cause"] == OTHER_PERSON),
            "actor": pa.array(ACTORS).take(pa.array(rows["actor"])),
            "cause": pa.array(CAUSES).take(pa.array(rows["cause"])),
            "late": rows["arrival"] > rows["time"] + 30 * 60_000_000,
        }
    )


def _session_ids(sessions: npt.NDArray[np.int64]) -> pa.Array:
    unique, place = np.unique(sessions, return_inverse=True)
    return pa.array([f"{session:012x}" for session in unique.tolist()]).take(pa.array(place))


def _contexts(rows: Rows, catalogue: Catalogue) -> pa.Array:
    """`list<struct<key, value>>`: up to one device, episode and query a row, in this order."""
    episodes, first_query = len(DEVICES), len(DEVICES) + MAX_SEASONS * MAX_SEASON
    season = catalogue.season_length[rows["item"]]
    episode = (rows["episode"] // season) * MAX_SEASON + rows["episode"] % season
    values = np.stack(
        [
            rows["device"].astype(np.int32),
            np.where(rows["episode"] >= 0, episodes + episode, -1),
            np.where(rows["query"] >= 0, first_query + rows["item"] * NUM_QUERIES + rows["query"], -1),
        ],
        axis=1,
    )
    present = values >= 0
    keys = np.broadcast_to(np.arange(3), values.shape)[present]
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    pairs = pa.StructArray.from_arrays(
        [
            pa.array(["device", "episode", "query"]).take(pa.array(keys)),
            pa.array(_context_values(catalogue)).take(pa.array(values[present])),
        ],
        names=["key", "value"],
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pairs)


def _context_values(catalogue: Catalogue) -> list[str]:
    """All words that a context can hold: devices, episode numbers, then three queries an item."""
    numbers = [f"S{season + 1}E{episode + 1}" for season in range(MAX_SEASONS) for episode in range(MAX_SEASON)]
    queries = [query for row in catalogue.table.iter_rows(named=True) for query in _queries(row)]
    return [*DEVICES, *numbers, *queries]


def _queries(item: dict) -> tuple[str, str, str]:
    title, genres = item[columns.TITLE].lower(), item[columns.CATEGORIES]
    facts = {pair["key"]: pair["value"] for pair in item[columns.ATTRIBUTES]}
    mood = facts["mood"].split(", ")[0]
    return title, title.removeprefix("the ").split(" ")[0], f"{mood} {genres[0].lower()}"
