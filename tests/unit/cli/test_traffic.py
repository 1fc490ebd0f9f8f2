"""Traffic against a small real service; users from a small real table."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from raconteur.cli.traffic import Traffic, send, some_users
from raconteur.errors import ServingError


class Service(BaseHTTPRequestHandler):
    """User `new` is cold, `broken` gets an error, everyone else the student."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(500 if asked["user_id"] == "broken" else 200)
        self.end_headers()
        told = {"route": "cold" if asked["user_id"] == "new" else "student", "reason": "features are down"}
        self.wfile.write(json.dumps(told | {"degraded": asked["user_id"] == "new"}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_send_counts_routes_and_times_every_answer(address):
    traffic = send(address, ["a", "b", "new"], k=3)
    assert traffic.routes == {"student": 2, "cold": 1}
    assert len(traffic.latency_ms) == 3
    assert traffic.degraded == ("features are down",)


def test_send_failed_answer_names_the_user(address):
    with pytest.raises(ServingError, match="no answer for user broken"):
        send(address, ["a", "broken"], k=3)


def test_send_nothing_listens_is_a_serving_error():
    with pytest.raises(ServingError, match="gave no answer"):
        send("http://127.0.0.1:9", ["a"], k=3)


def test_percentile_by_hand():
    traffic = Traffic({}, (4.0, 1.0, 3.0, 2.0))
    assert traffic.percentile(0.5) == 3.0
    assert traffic.percentile(0.99) == 4.0
    assert traffic.percentile(0.0) == 1.0


def test_some_users_sample_is_seeded_and_bounded(tmp_path):
    users = [f"u{i}" for i in range(50)]
    pl.DataFrame({"user_id": users * 2}).write_parquet(tmp_path / "events.parquet")
    chosen = some_users(tmp_path, 10, seed=1)
    assert len(set(chosen)) == 10
    assert chosen == some_users(tmp_path, 10, seed=1)
    assert sorted(some_users(tmp_path, 500, seed=1)) == sorted(users)
