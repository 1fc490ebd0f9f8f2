from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.features.materialize import materialize
from components.features.publish import publish_tables
from raconteur.errors import DataError, ServingError
from raconteur.types import Event
from serving.path.features import OnlineFeatures

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
CATEGORIES = {"i1": ["drama"], "i2": ["comedy"], "i3": ["drama", "war"]}


@pytest.fixture(scope="module")
def online(store) -> OnlineFeatures:
    return OnlineFeatures(store)


def take(item: str, *, minutes: float = 0.0, value: float = 30.0) -> Event:
    return Event(item, NOON + timedelta(minutes=minutes), "play", value, "s", {"device": "tv"})


def test_read_gives_state_and_narrative(online):
    ann = online.read("ann")
    assert (ann.num_events, ann.num_targets, ann.value_total) == (3, 3, 140.0)
    assert ann.recent_items == ("i1", "i2", "i3")
    assert ann.categories == (("drama", 2), ("comedy", 1), ("war", 1))
    assert [event.value for event in ann.recent_events] == [60.0, 30.0, 50.0]
    assert ann.narrative.text == "likes <item:i1> and <item:i2>"
    assert ann.narrative.as_of == datetime(2026, 1, 1, 20, tzinfo=UTC)
    assert (ann.narrative.verbalizer_version, ann.narrative.catalogue_version) == ("v1", "c1")


def test_read_user_without_narrative_has_none(online):
    assert online.read("bob").narrative is None


@pytest.mark.parametrize("user_id", ["nobody", "", "ann' OR 1=1 --", "Ä\u2028"])
def test_read_unknown_user_is_none(online, user_id):
    assert online.read(user_id) is None


def test_push_shows_in_the_next_read_of_another_reader(online, store):
    pushed = online.push("bob", [take("i3"), take("i1", minutes=1, value=2.0)], CATEGORIES)
    read = OnlineFeatures(store).read("bob")
    assert read == pushed
    assert (read.num_events, read.num_targets, read.num_tries) == (4, 3, 4)
    assert read.recent_items == ("i2", "i1", "i3")
    assert read.last_event_time == NOON + timedelta(minutes=1)
    assert dict(read.recent_events[-1].context) == {"device": "tv"}


def test_push_keeps_the_narrative(online):
    assert online.push("ann", [take("i1")], CATEGORIES).narrative == online.read("ann").narrative is not None


def test_push_same_event_twice_counts_once(online):
    first = online.push("carol", [take("i1")], CATEGORIES)
    assert online.push("carol", [take("i1")], CATEGORIES) == first
    assert online.read("carol").num_events == 1


def test_push_from_many_threads_loses_no_event(online):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda minute: online.push("erin", [take("i1", minutes=minute)], CATEGORIES), range(16)))
    erin = online.read("erin")
    assert erin.num_events == 16
    assert [event.event_time.minute for event in erin.recent_events] == list(range(16))


def test_read_and_push_go_on_while_another_store_writes_all_users(online, store):
    with ThreadPoolExecutor(1) as other:
        writing = other.submit(lambda: [materialize(store, everything=True) for _ in range(10)])
        counts = [online.push("frank", [take("i2", minutes=minute)], CATEGORIES).num_events for minute in range(10)]
        assert writing.result(timeout=60)
    assert counts == list(range(1, 11))
    assert online.read("ann") is not None


def test_push_unknown_item_is_left_out(online):
    assert online.push("dave", [take("no-such-item")], CATEGORIES) is None
    assert online.read("dave") is None


def test_push_time_without_zone_is_refused(online):
    with pytest.raises(DataError, match="without a zone"):
        online.push("ann", [Event("i1", datetime(2026, 1, 1), "play")], CATEGORIES)


def test_materialize_again_writes_nothing(store):
    assert set(materialize(store).values()) == {0.0}


def test_materialize_everything_restores_rows_and_keeps_pushed_events(online, store):
    online.push("bob", [take("i2", minutes=5)], CATEGORIES)
    before = online.read("bob")
    counts = materialize(store, everything=True)
    assert counts == {"num_online_user_features": 2, "num_online_item_features": 3, "num_online_narratives": 1}
    assert online.read("bob") == before


def test_publish_tables_again_writes_only_changed_users(built, online, store, tmp_path):
    _, out, _ = built
    users = pl.read_parquet(out / "tables" / "user_features.parquet")
    changed = pl.when(pl.col("user_id") == "ann").then(9).otherwise("num_tries").alias("num_tries")
    for path in (out / "tables").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    users.with_columns(changed).write_parquet(tmp_path / "user_features.parquet")
    assert publish_tables(tmp_path, store)["num_online_user_features"] == 1
    # Nine tries by the table, and one more take that a test above may have pushed.
    assert online.read("ann").num_tries in (9, 10)


def test_online_features_missing_store_is_a_serving_error(tmp_path):
    with pytest.raises(ServingError, match="run the pipeline first"):
        OnlineFeatures(tmp_path)


def test_read_of_a_destroyed_store_is_a_serving_error(store, tmp_path):
    for path in store.iterdir():
        if path.is_file() and not path.name.startswith("online.db"):  # its write-ahead log would restore it
            (tmp_path / path.name).write_bytes(path.read_bytes())
    yaml = (store / "feature_store.yaml").read_text().replace(str(store), str(tmp_path))
    (tmp_path / "feature_store.yaml").write_text(yaml)
    (tmp_path / "online.db").write_bytes(b"no database" * 200)
    with pytest.raises(ServingError, match="did not answer"):
        OnlineFeatures(tmp_path).read("ann")
