"""MovieTweetings: `ratings.dat`, `movies.dat`, `::` separated, UTF-8; ratings 0 to 10 from tweets, IMDb ids as text."""

import polars as pl

from raconteur import columns
from raconteur.data.raw import RawLog, TimeFormat
from raconteur.data.readers import files
from raconteur.data.readers.movielens import movies_as_items, ratings_as_events
from raconteur.data.readers.text import read_text


def read_movietweetings(folder: str) -> RawLog:
    """Reads a snapshot folder.

    Raises:
        DataError: a file is missing or malformed.
    """
    url = files.require(folder, "ratings.dat")
    names = ["user", "item", "rating", "timestamp"]
    ratings = read_text(url, table="events", separator="::", header=names, quoted=False)
    movies_url = files.require(folder, "movies.dat")
    header = [columns.ITEM_ID, "title", "genres"]
    movies = read_text(movies_url, table="items", separator="::", header=header, quoted=False)
    return RawLog(
        source=url,
        value_unit="points of ten",
        events=ratings_as_events(ratings.frame, user="user", item="item", value="rating", time="timestamp"),
        items=movies_as_items(movies.frame),
        malformed=pl.concat([ratings.malformed, movies.malformed]),
        time=TimeFormat(unit="s"),
    )
