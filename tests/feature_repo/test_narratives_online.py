"""Texts of the batch step and of the serving path's refresh, in one real store: the one of the later moment stands."""

from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest

from components.features.materialize import materialize
from components.features.publish import publish_narratives, publish_tables
from raconteur.types import Narrative
from serving.path.features import OnlineFeatures

HOUR = timedelta(hours=1)
DAYS = count(1)


@pytest.fixture(scope="module")
def store(built, tmp_path_factory):
    """A store of these tests alone, with the tables of the others'."""
    store = tmp_path_factory.mktemp("feast") / "features"
    publish_tables(built[1] / "tables", store)
    return store


@pytest.fixture
def noon(store, tmp_path):
    """A day later than in any test before; the batch step tells of both users up to then."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=next(DAYS))
    assert publish(store, tmp_path, "first batch", ann=noon, bob=noon)["num_online_narratives"] == 2
    return noon


def publish(store, folder, text, **as_of):
    """What the batch step wrote of users up to these moments."""
    narratives = pl.DataFrame(
        {
            "user_id": list(as_of),
            "text": text,
            "as_of": pl.Series(list(as_of.values()), dtype=pl.Datetime("us", "UTC")),
            "verbalizer_version": "v1",
            "catalogue_version": "c1",
            "num_tokens": 2,
        }
    )
    narratives.write_parquet(folder / "narratives.parquet")
    return publish_narratives(folder, store)


def refresh(store, moment):
    assert OnlineFeatures(store).push_narrative(Narrative("ann", "the refresh", moment, "v1", "c1"))


def told(store, user_id="ann"):
    narrative = OnlineFeatures(store).read(user_id).narrative
    return narrative.text, narrative.as_of


def test_publish_older_text_leaves_a_refreshed_one_alone_and_writes_the_others(store, noon, tmp_path):
    refresh(store, noon + 2 * HOUR)
    counts = publish(store, tmp_path, "another batch", ann=noon + HOUR, bob=noon + HOUR)
    assert (counts["num_narratives"], counts["num_online_narratives"]) == (2, 1)  # both are kept offline
    assert told(store) == ("the refresh", noon + 2 * HOUR)
    assert told(store, "bob") == ("another batch", noon + HOUR)


def test_publish_text_of_a_later_moment_replaces_the_refreshed_one(store, noon, tmp_path):
    refresh(store, noon + HOUR)
    publish(store, tmp_path, "another batch", ann=noon + 2 * HOUR)
    assert told(store) == ("another batch", noon + 2 * HOUR)


def test_publish_text_of_the_same_moment_replaces_it(store, noon, tmp_path):
    """As the refresh does: another Verbalizer tells of the same log."""
    refresh(store, noon + HOUR)
    publish(store, tmp_path, "another batch", ann=noon + HOUR)
    assert told(store) == ("another batch", noon + HOUR)


def test_materialize_everything_leaves_a_refreshed_text_alone(store, noon):
    refresh(store, noon + HOUR)
    assert materialize(store, everything=True)["num_online_narratives"] == 1  # bob's
    assert told(store) == ("the refresh", noon + HOUR)
    assert told(store, "bob") == ("first batch", noon)
