"""A four-film world for the serving tests: real folders, real scoring, no training.

`WordOverlap` is a ranker by the Reasoner contract whose answers can be worked out by hand; run as a program, this file
is a model server over it. `weights.json` scales its scores, so that two versions can be told apart.
"""

import ipaddress
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from raconteur.artifacts import Registry, new_folder
from raconteur.data.dataset import ITEMS
from raconteur.retrieve.load import save
from raconteur.retrieve.popularity import Popularity

START = datetime(2024, 5, 1, tzinfo=UTC)
TITLES = {
    "i1": "space war",
    "i2": "space romance",
    "i3": "court drama",
    "i4": "war drama",
    "i5": "lost film",
}
TAKES = [["i1", "i2"], ["i1", "i4"], ["i1", "i3"], ["i2"]]  # popularity: i1 3, i2 2, i3 1, i4 1, i5 0


class WordOverlap:
    """Scores an item by how many of its title's words the text has, times a weight."""

    def __init__(self, titles, weight):
        self._titles = titles
        self._weight = weight

    def score(self, texts, candidates):
        return np.array(
            [[self._one(text, item) for item in row] for text, row in zip(texts, candidates, strict=True)], np.float32
        )

    def _one(self, text, item):
        if item not in self._titles:
            return np.nan
        return self._weight * sum(text.split().count(word) for word in self._titles[item].split())


def load_ranker(folder):
    weights = json.loads((folder / "weights.json").read_text())
    return WordOverlap(weights["titles"], weights["weight"])


def write_version(models, version, *, weight=1.0):
    """A finished version with student, reasoner, retriever and catalogue; the Reasoner weighs ten times more."""
    with new_folder(models / version, artefact="version") as folder:
        for kind, factor in (("student", 1.0), ("reasoner", 10.0)):
            (folder / kind).mkdir()
            (folder / kind / "weights.json").write_text(json.dumps({"titles": TITLES, "weight": weight * factor}))
        save(Popularity.fit(TAKES, list(TITLES)), folder / "retriever")
        catalogue().write_parquet(folder / "items.parquet")
    return Registry(models)


def catalogue():
    return pl.DataFrame(
        {
            "item_id": list(TITLES),
            "title": list(TITLES.values()),
            "description": None,
            "categories": [[word] for word in ("space", "space", "court", "war", "lost")],
            "released": None,
            "available": [True, True, True, True, False],
            "attributes": [[] for _ in TITLES],
        },
        schema=ITEMS,
    )


def is_loopback(address):
    return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback


if __name__ == "__main__":
    kind, models, port, grpc_port = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve reads the arguments at import
    from serving.models.model_server import serve

    serve(kind, Path(models), load_ranker, host="127.0.0.1", port=int(port), grpc_port=int(grpc_port))
