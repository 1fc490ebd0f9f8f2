"""Small real logs for the data tests, and the real ones where they are."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from raconteur.data.dataset import RAW_EVENTS

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def make_events() -> Callable[[list[tuple]], pl.DataFrame]:
    """Good events from rows (user, item, second) or (user, item, second, type, value)."""

    def make(rows: list[tuple]) -> pl.DataFrame:
        full = [
            (user, item, START + timedelta(seconds=second), *(rest or ("play", None)), None, None)
            for user, item, second, *rest in rows
        ]
        return pl.DataFrame(full, schema=RAW_EVENTS, orient="row")

    return make


@pytest.fixture
def movielens_folder(tmp_path: Path) -> Path:
    """Four users of a four-film service in the csv layout; user 4 has two ratings only."""
    folder = tmp_path / "movielens"
    folder.mkdir()
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Heat (1995),Action|Crime\n"
        '2,"Postman, The (1994)",Drama\n'
        "3,Untold,(no genres listed)\n"
        "4,Alien (1979),Horror|Sci-Fi\n"
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        "1,1,4.0,100\n1,2,3.5,300\n1,3,5.0,200\n"
        "2,4,1.0,100\n2,3,2.0,110\n2,1,3.0,120\n"
        "3,1,4.0,100\n3,2,4.5,100\n3,4,0.5,100\n"
        "4,1,4.0,100\n4,4,4.5,101\n"
    )
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real logs are not here: ../shared/data, beside the repository, is missing")
    return folder
