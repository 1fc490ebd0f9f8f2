"""What users took after they were answered: the join of the prediction log with a prepared log of events."""

from pathlib import Path

import polars as pl

from raconteur.columns import IS_TARGET, ITEM_ID, POSITION, USER_ID
from raconteur.errors import DataError
from raconteur.evaluate.routing import NUM_EVENTS
from raconteur.pseudonym import pseudonym

TAKEN = "taken"


def next_takes(answers: pl.DataFrame, data: Path, *, key: bytes) -> pl.DataFrame:
    """The answers whose user's next take is known, with it in the column `taken`.

    An answer is followed by the events at position `num_events` and later: the join is by position in the user's
    history, since a replayed log and the clock of the server need not agree.

    Args:
        answers: `user_id`, a pseudonym, `num_events`, and whatever else.
        data: folder of a prepared data set that goes on where the answers were given.
        key: of the pseudonyms.

    Raises:
        DataError: the folder holds no events.
    """
    try:
        takes = (
            pl.scan_parquet(data / "events.parquet")
            .filter(IS_TARGET)
            .select(USER_ID, POSITION, pl.col(ITEM_ID).alias(TAKEN))
            .sort(POSITION)
            .collect()
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{data} holds no prepared events: {error}") from None
    names = {user: pseudonym(user, key) for user in takes[USER_ID].unique()}
    takes = takes.with_columns(pl.col(USER_ID).replace_strict(names, return_dtype=pl.String))
    placed = answers.with_columns(pl.col(NUM_EVENTS).cast(pl.Int64).alias(POSITION)).drop_nulls([USER_ID, POSITION])
    joined = placed.sort(POSITION).join_asof(takes, on=POSITION, by=USER_ID, strategy="forward", check_sortedness=False)
    return joined.filter(pl.col(TAKEN).is_not_null()).drop(POSITION)
