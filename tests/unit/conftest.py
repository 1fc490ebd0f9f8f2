"""Small real things that tests of several rooms share: language models of random weights, a table of route requests."""

import json

import numpy as np
import polars as pl
import pytest

from raconteur.artifacts import new_folder
from raconteur.evaluate.routing import COSTS, REQUESTS, SCHEMA
from raconteur.train.smoke import random_base

ROUTE_COSTS = {
    "student": {"ms": 1.0, "tokens": 50},
    "reasoner": {"ms": 10.0, "tokens": 500, "p99_ms": 25.0},
    "middle": {"ms": 4.0, "tokens": 200},
}


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory):
    """Folder of a base with a chat template."""
    return random_base(tmp_path_factory.mktemp("chat-base"), "tiny")


@pytest.fixture(scope="session")
def plain_base(tmp_path_factory):
    """Folder of a base that was never taught to chat."""
    return random_base(tmp_path_factory.mktemp("plain-base"), "tiny", chat_template=None)


@pytest.fixture(scope="session")
def route_rows():
    """`route_rows(num_users, seed=0, gain=2.0)`: rows of a table of requests with a known law.

    An easy user is one whose student sees the truth clearly, with scores that are too sure of it; the Reasoner adds
    `gain` to the truth's score of the hard ones. One validation and one test request a user, ten candidates each.
    """

    def rows(num_users, *, seed=0, gain=2.0, lists="served"):
        rng = np.random.default_rng(seed)
        made = []
        for user in range(num_users):
            ease = rng.random()
            for split in ("validation", "test"):
                truth, noise, extra = int(rng.integers(10)), rng.gumbel(size=10), rng.gumbel(size=10)
                student, reasoner = noise.copy(), 0.8 * noise + 0.2 * extra
                student[truth] += 5 * ease
                reasoner[truth] += 5 * ease + gain * (ease < 0.6)
                made.append(
                    {
                        "request_id": f"{split}-{user}",
                        "user_id": f"u{user}",
                        "split": split,
                        "lists": lists,
                        "candidates": [f"i{item}" for item in range(10)],
                        "truth": truth,
                        "student": (2.5 * student).tolist(),
                        "reasoner": reasoner.tolist(),
                        "middle": ((student + reasoner) / 2).tolist(),
                        "num_events": int(3 + 60 * ease),
                        "num_cold": int(rng.integers(3)),
                    }
                )
        return made

    return rows


@pytest.fixture(scope="session")
def write_requests():
    """`write_requests(folder, rows)`: a finished folder of requests."""

    def write(folder, rows, *, costs=ROUTE_COSTS, versions=None):
        versions = {"student": "s1", "reasoner": "r1"} if versions is None else versions
        with new_folder(folder, kind="requests", versions=versions) as unfinished:
            pl.DataFrame(rows, schema=SCHEMA).write_parquet(unfinished / REQUESTS)
            (unfinished / COSTS).write_text(json.dumps(costs))
        return folder

    return write
