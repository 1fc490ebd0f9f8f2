"""The console over the four-film world, on a free port of this machine, with what a test may want to break."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import polars as pl
import uvicorn
from local_service import open_local, user
from serving_world import write_version

from serving.door.app import create_app
from serving.door.readiness import Readiness


def write_world(workdir):
    """The four films as version v1, and the table of the users of `open_console`."""
    write_version(workdir / "models", "v1").promote("v1", cause="test")
    write_users(workdir, ["torn", "sure", "shy"])


def write_users(workdir, user_ids):
    (workdir / "features").mkdir(exist_ok=True)
    pl.DataFrame({"user_id": user_ids}).write_parquet(workdir / "features" / "user_features.parquet")


def open_console(workdir):
    """An open service as an app, and the parts of it that a test breaks or looks into."""
    service, store, student, reasoner = open_local(workdir)
    store.users = {
        "sure": user("sure", ["i1"], "court court"),  # student: i3 2, i2 0, i4 0
        "torn": user("torn", ["i1"], "drama"),  # student: i3 1, i4 1, i2 0: the Reasoner decides
        "shy": user("shy", []),
    }
    readiness = Readiness()
    readiness.open()
    app = create_app(service, readiness)
    return SimpleNamespace(app=app, service=service, store=store, student=student, reasoner=reasoner)


@contextmanager
def running(app, port):
    """The address of the app, served by a thread until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started, "the console's server did not start"
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
