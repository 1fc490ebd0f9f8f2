"""MovieLens in the layouts in which GroupLens and others pass it on; the files that are there tell which one it is.

| layout | ratings | catalogue | users |
|---|---|---|---|
| 1M rebuilt | `ratings_rebuilt.csv` with the order in each user | `movies.dat` | `users.dat` |
| 1M, 10M | `ratings.dat` | `movies.dat` | `users.dat` |
| 100K | `u.data` | `u.item` | `u.user` |
| latest-small, latest, 20M, 25M, 32M | `ratings.csv` | `movies.csv` | none |

Free-text tags (`tags.csv`) are left out: they are no takes of an item.
"""

import polars as pl

from raconteur import columns
from raconteur.data.raw import RawLog, TimeFormat, string_map
from raconteur.data.readers import files
from raconteur.data.readers.text import TextTable, read_text
from raconteur.errors import DataError

STARS = "stars"
LATIN = "latin-1"
GENRES_100K = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRES = ("", "(no genres listed)")


def read_movielens(folder: str) -> RawLog:
    """Reads whichever MovieLens layout lies in a folder.

    Raises:
        DataError: none is recognised, or a file of it is missing or malformed.
    """
    if ratings := files.find(folder, "ratings_rebuilt.csv"):
        return _read_rebuilt(folder, ratings)
    if ratings := files.find(folder, "ratings.dat"):
        return _read_dat(folder, ratings)
    if ratings := files.find(folder, "u.data"):
        return _read_100k(folder, ratings)
    if ratings := files.find(folder, "ratings.csv"):
        return _read_csv(folder, ratings)
    raise DataError(
        f"{folder} has no MovieLens layout: one of ratings_rebuilt.csv, ratings.dat, u.data, ratings.csv (or .gz) was "
        f"expected, there is {files.listing(folder)}; check data.path and data.layout"
    )


def ratings_as_events(frame: pl.DataFrame, *, user: str, item: str, value: str, time: str) -> pl.DataFrame:
    """Renames the four columns of a table of ratings; each is an event of the type `rating`."""
    return frame.select(
        columns.LINE,
        pl.col(user).alias(columns.USER_ID),
        pl.col(item).alias(columns.ITEM_ID),
        pl.col(time).alias(columns.EVENT_TIME),
        pl.lit("rating").alias(columns.EVENT_TYPE),
        pl.col(value).alias(columns.VALUE),
    )


def movies_as_items(frame: pl.DataFrame) -> pl.DataFrame:
    """`item_id, title, genres` to the items' columns; the year in the title's brackets is released on its first day."""
    year = pl.col("title").str.extract(r"\((\d{4})\)\s*$")
    return frame.select(
        columns.LINE,
        columns.ITEM_ID,
        pl.col("title").str.strip_chars().alias(columns.TITLE),
        pl.when(pl.col("genres").is_in(NO_GENRES))
        .then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.col("genres").str.split("|"))
        .alias(columns.CATEGORIES),
        (year + "-01-01").alias(columns.RELEASED),
    )


def _read_rebuilt(folder: str, url: str) -> RawLog:
    names = ["user_id", "movie_id", "rating", "timestamp", "order_in_user"]
    ratings = read_text(url, table="events", required=names)
    # The order in each user is known better than the times: ties of time are broken by it, not by the file.
    ordered = ratings.frame.sort(pl.col("order_in_user").cast(pl.Int64, strict=False), maintain_order=True)
    events = ratings_as_events(ordered, user="user_id", item="movie_id", value="rating", time="timestamp")
    return _log_1m(folder, url, events, ratings)


def _read_dat(folder: str, url: str) -> RawLog:
    names = ["user", "item", "rating", "timestamp"]
    ratings = read_text(url, table="events", separator="::", header=names, quoted=False)
    events = ratings_as_events(ratings.frame, user="user", item="item", value="rating", time="timestamp")
    return _log_1m(folder, url, events, ratings)


def _log_1m(folder: str, url: str, events: pl.DataFrame, ratings: TextTable) -> RawLog:
    names = [columns.ITEM_ID, "title", "genres"]
    movies_url = files.require(folder, "movies.dat")
    movies = read_text(movies_url, table="items", separator="::", header=names, quoted=False, encoding=LATIN)
    users = _read_users(folder, "users.dat", "::", ["gender", "age", "occupation", "zip_code"])
    return _log(url, events, movies_as_items(movies.frame), users, [ratings, movies])


def _read_100k(folder: str, url: str) -> RawLog:
    names = ["user", "item", "rating", "timestamp"]
    ratings = read_text(url, table="events", separator="\t", header=names, quoted=False)
    events = ratings_as_events(ratings.frame, user="user", item="item", value="rating", time="timestamp")
    movies = read_text(
        files.require(folder, "u.item"),
        table="items",
        separator="|",
        header=[columns.ITEM_ID, "title", "released", "video_released", "url", *GENRES_100K],
        quoted=False,
        encoding=LATIN,
    )
    users = _read_users(folder, "u.user", "|", ["age", "gender", "occupation", "zip_code"])
    return _log(url, events, _items_100k(movies.frame), users, [ratings, movies])


def _items_100k(frame: pl.DataFrame) -> pl.DataFrame:
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K]
    return frame.select(
        columns.LINE,
        columns.ITEM_ID,
        pl.col("title").str.strip_chars().alias(columns.TITLE),
        pl.concat_list(flags).list.drop_nulls().alias(columns.CATEGORIES),
        pl.col("released").str.to_date("%d-%b-%Y", strict=False).alias(columns.RELEASED),
    )


def _read_csv(folder: str, url: str) -> RawLog:
    ratings = read_text(url, table="events", required=["userId", "movieId", "rating", "timestamp"])
    events = ratings_as_events(ratings.frame, user="userId", item="movieId", value="rating", time="timestamp")
    movies = read_text(files.require(folder, "movies.csv"), table="items", required=["movieId", "title", "genres"])
    items = movies_as_items(movies.frame.rename({"movieId": columns.ITEM_ID}))
    return _log(url, events, items, None, [ratings, movies])


def _read_users(folder: str, name: str, separator: str, about: list[str]) -> TextTable | None:
    """Users of the old editions; later ones have none."""
    url = files.find(folder, name)
    if url is None:
        return None
    header = [columns.USER_ID, *about]
    table = read_text(url, table="users", separator=separator, header=header, quoted=False, encoding=LATIN)
    attributes = string_map(table.frame, {name: name for name in about}).alias(columns.ATTRIBUTES)
    return TextTable(frame=table.frame.select(columns.LINE, columns.USER_ID, attributes), malformed=table.malformed)


def _log(
    source: str, events: pl.DataFrame, items: pl.DataFrame, users: TextTable | None, tables: list[TextTable]
) -> RawLog:
    read = [*tables, users] if users else tables
    return RawLog(
        source=source,
        value_unit=STARS,
        events=events,
        items=items,
        users=users.frame if users else None,
        malformed=pl.concat([table.malformed for table in read]),
        time=TimeFormat(unit="s"),
    )
