"""Redis as the online store: a real server that is filled, pushed to, killed, stopped and started again."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis

from components.features.materialize import materialize
from components.features.publish import publish_narratives, publish_tables
from components.features.store import apply, open_store
from raconteur.errors import ConfigError, ServingError
from raconteur.features.rules import Rules
from raconteur.types import Event, Narrative
from serving.path.breaker import Breaker
from serving.path.features import OnlineFeatures
from serving.path.people import People

PROGRAM = shutil.which("redis-server")
PASSWORD = "not-in-any-file"
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
CATEGORIES = {"i1": ["drama"], "i2": ["comedy"], "i3": ["drama", "war"]}

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed (apt-get install redis-server)")


class RedisServer:
    """One server on one port; what was written is on disk before it is acknowledged."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder = folder
        self._process = None

    def start(self):
        options = {"bind": "127.0.0.1", "port": self.port, "dir": self._folder, "requirepass": PASSWORD}
        options |= {"save": "", "appendonly": "yes", "appendfsync": "always"}
        command = [PROGRAM, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis("127.0.0.1", self.port, password=PASSWORD, retry=None)
        deadline = time.monotonic() + 30
        while True:
            try:
                return client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.05)

    def send(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running server, whose address is in the environment as it would be in a cluster."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RACONTEUR_REDIS_URL", f"127.0.0.1:{server.port},password={PASSWORD}")
        yield server
    server.kill()


@pytest.fixture(scope="module")
def redis_store(server, built, tmp_path_factory):
    store = tmp_path_factory.mktemp("feast") / "features"
    counts = publish_tables(built[1] / "tables", store, online="redis")
    assert counts == {"num_online_user_features": 2, "num_online_item_features": 3, "num_online_narratives": 0}
    publish_narratives(built[0].parent / "narrated", store)
    return store


@pytest.fixture(scope="module")
def sqlite_store(built, tmp_path_factory):
    """The same tables in SQLite; not the store of the other tests, which they push to."""
    store = tmp_path_factory.mktemp("feast") / "features"
    publish_tables(built[1] / "tables", store)
    publish_narratives(built[0].parent / "narrated", store)
    return store


@pytest.fixture(scope="module")
def online(redis_store):
    return OnlineFeatures(redis_store)


def take(item, *, minutes=0.0):
    return Event(item, NOON + timedelta(minutes=minutes), "play", 30.0, "s", {"device": "tv"})


@pytest.mark.parametrize("view", ["user_features", "item_features", "narratives"])
def test_redis_rows_equal_those_of_sqlite(redis_store, sqlite_store, view):
    keys = {"item_id": ["i1", "i2", "i3"]} if view == "item_features" else {"user_id": ["ann", "bob", "nobody"]}
    rows = []
    for store in (sqlite_store, redis_store):
        feast = open_store(store)
        features = [f"{view}:{field.name}" for field in feast.get_feature_view(view).features]
        rows.append(feast.get_online_features(features, keys).to_dict())
    assert rows[0] == rows[1]
    assert any(value is not None for name, column in rows[0].items() if name not in keys for value in column)


def test_redis_read_gives_state_and_narrative(online):
    ann = online.read("ann")
    assert (ann.num_events, ann.recent_items) == (3, ("i1", "i2", "i3"))
    assert ann.categories == (("drama", 2), ("comedy", 1), ("war", 1))
    assert ann.narrative.text == "likes <item:i1> and <item:i2>"
    assert online.read("nobody") is None


def test_redis_push_shows_in_the_next_read_of_another_reader(online, redis_store):
    pushed = online.push("bob", [take("i3")], CATEGORIES)
    assert OnlineFeatures(redis_store).read("bob") == pushed
    assert pushed.num_events == 3


def test_redis_late_event_and_second_event_of_an_instant_are_kept(online):
    """Feast's Redis drops rows that are not later than the stored one, unless `skip_dedup` is set."""
    online.push("carol", [take("i1", minutes=10)], CATEGORIES)
    online.push("carol", [take("i2", minutes=10)], CATEGORIES)
    online.push("carol", [take("i3", minutes=5)], CATEGORIES)
    carol = online.read("carol")
    assert carol.num_events == 3
    assert [event.item_id for event in carol.recent_events] == ["i3", "i1", "i2"]


def test_redis_narrative_is_replaced_by_a_later_one_only(online):
    later = Narrative("ann", "now likes <item:i3>", NOON, "v2", "c2")
    assert online.push_narrative(later)
    assert not online.push_narrative(Narrative("ann", "old", NOON - timedelta(days=1), "v2", "c2"))
    assert online.read("ann").narrative == later


def test_redis_materialize_everything_restores_a_lost_store_and_keeps_pushed_events(server, redis_store, online):
    before = online.push("bob", [take("i2", minutes=1)], CATEGORIES)
    assert set(materialize(redis_store).values()) == {0.0}
    materialize(redis_store, everything=True)
    assert online.read("bob") == before
    redis.Redis("127.0.0.1", server.port, password=PASSWORD).flushall()
    assert online.read("ann") is None
    materialize(redis_store, everything=True)
    assert online.read("ann").num_events == 3


def test_redis_killed_every_call_fails_soon_and_a_restart_is_enough(server, online):
    before = online.read("ann")
    server.kill()
    with pytest.raises(ServingError, match="did not answer"):
        online.read("ann")
    with pytest.raises(ServingError, match="did not answer"):
        online.push("ann", [take("i1")], CATEGORIES)
    server.start()
    assert online.read("ann") == before


def test_redis_killed_under_the_recommender_answers_stand_in_events_wait_and_it_recovers_alone(server, online):
    rules = Rules(targets=("play",), min_value=None, num_recent_items=9, num_recent_events=9)
    clock = [0.0]
    breaker = Breaker("features", failures=2, pause_s=5.0, clock=lambda: clock[0])

    async def run():
        people = People(online, rules, breaker, timeout_s=5.0)

        def read(user):
            return people.read(user, categories=CATEGORIES, timeout_s=5.0)

        before = await read("ann")
        server.kill()
        down = [await read("ann"), await read("nobody"), await read("ann")]
        told = await people.learn("ann", [take("i2", minutes=90)], categories=CATEGORIES, timeout_s=5.0)
        server.start()
        clock[0] = 6.0  # the breaker's pause is over
        after = await read("ann")
        people.close()
        return before, down, told, after

    before, down, told, after = asyncio.run(run())
    assert before.failure is None
    assert [known.state for known in down] == [before.state, None, before.state]
    assert all(known.failure for known in down)
    assert "left alone" in down[2].failure
    assert told.failure
    assert told.state.num_events == before.state.num_events + 1
    assert after.failure is None
    assert after.state.num_events == before.state.num_events + 1  # the event that nobody could take is not lost
    assert online.read("ann").num_events == after.state.num_events


def test_redis_restarted_between_two_reads_at_most_one_of_them_fails(server, online):
    before = online.read("ann")
    server.kill()
    server.start()
    try:
        first = online.read("ann")
    except ServingError:
        first = online.read("ann")
    assert first == before


def test_redis_that_hangs_is_given_up(server, online):
    """No timed assertion: without the timeout in the settings the read would end only with the process."""
    online.read("ann")
    server.send(signal.SIGSTOP)
    failures = []

    def read():
        try:
            online.read("ann")
        except ServingError as error:
            failures.append(error)

    reading = threading.Thread(target=read, daemon=True)
    try:
        reading.start()
        reading.join(timeout=30)
        assert not reading.is_alive()
        assert len(failures) == 1
    finally:
        server.send(signal.SIGCONT)
    assert online.read("ann") is not None


def test_redis_that_hangs_up_is_asked_once(server, online):
    """Redis's own client would try three more times, with pauses of seconds, while the request waits."""
    server.kill()
    asked = []

    def hang_up(listening):
        with contextlib.suppress(OSError):  # it is closed at the end
            while True:
                connection, _ = listening.accept()
                asked.append(connection.recv(1))
                connection.close()

    with socket.create_server(("127.0.0.1", server.port)) as listening:
        threading.Thread(target=hang_up, args=(listening,), daemon=True).start()
        with pytest.raises(ServingError, match="did not answer"):
            online.read("ann")
        assert len(asked) == 1
        listening.shutdown(socket.SHUT_RDWR)
    server.start()
    assert online.read("ann") is not None


def test_redis_password_is_in_no_file_of_the_store(redis_store):
    files = [path for path in redis_store.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("address", "message"), [(None, "is not set"), ("redis://host:6379/0", "has another form"), ("host", "host:port")]
)
def test_redis_address_missing_or_of_another_form_is_refused(redis_store, monkeypatch, address, message):
    if address is None:
        monkeypatch.delenv("RACONTEUR_REDIS_URL")
        with pytest.raises(ServingError, match="RACONTEUR_REDIS_URL"):
            OnlineFeatures(redis_store)
    else:
        monkeypatch.setenv("RACONTEUR_REDIS_URL", address)
    with pytest.raises(ConfigError, match=message):
        open_store(redis_store)
    with pytest.raises(ConfigError, match=message):
        apply(redis_store, online="redis")


def test_store_that_changes_its_online_store_writes_every_row_again(server, built, sqlite_store):
    redis.Redis("127.0.0.1", server.port, password=PASSWORD).flushall()
    assert publish_tables(built[1] / "tables", sqlite_store, online="redis")["num_online_user_features"] == 2
    assert OnlineFeatures(sqlite_store).read("bob").num_events == 2
    assert os.environ["RACONTEUR_REDIS_URL"] not in (sqlite_store / "feature_store.yaml").read_text()
