"""A small log whose tastes are known, prepared as `raconteur data prepare` would, and a run around it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raconteur import artifacts
from raconteur.config.schema import Config
from raconteur.data.dataset import write_table
from raconteur.pseudonym import KEY, KEY_BYTES, pseudonym

START = datetime(2026, 1, 1, tzinfo=UTC)
CUTOFF = START + timedelta(days=30)
CATEGORIES = ("drama", "comedy", "space", "crime", "</script><b>war</b>")
NUM_USERS, NUM_ITEMS, PER_DAY = 200, 50, 150
PSEUDONYM_KEY = bytes(range(KEY_BYTES))


def items(*, new: int = 0) -> pl.DataFrame:
    ids = range(NUM_ITEMS + new)
    return pl.DataFrame(
        {
            "item_id": [f"i{index}" for index in ids],
            "title": [f"Title {index}" for index in ids],
            "description": [None for _ in ids],
            "categories": [[CATEGORIES[index % 5]] for index in ids],
            "released": [None for _ in ids],
            "available": [True for _ in ids],
            "attributes": [[] for _ in ids],
        },
        schema_overrides={"description": pl.String, "released": pl.Date},
    )


def events(*, shift: str = "none", days: int = 30) -> pl.DataFrame:
    """Plays and impressions; a user keeps to one category in four takes of five. A shift begins at CUTOFF.

    The part before CUTOFF is the same for every shift.
    """
    rows = []
    for day in range(days):
        rng = np.random.default_rng(day)
        shifted = shift if day >= 30 else "none"
        for index in range(PER_DAY * (2 if shifted == "season" else 1)):
            rows.append(_event(rng, day, index, shifted))
    frame = pl.DataFrame(
        rows, orient="row", schema=["user_id", "item_id", "event_time", "event_type", "value", "device"]
    )
    context = pl.concat_list(pl.struct(key=pl.lit("device"), value="device"))
    empty = pl.lit([], dtype=pl.List(pl.Struct({"key": pl.String, "value": pl.String})))
    return (
        frame.with_columns(
            session_id=pl.lit(None, pl.String),
            context=pl.when(pl.col("device").is_null()).then(empty).otherwise(context),
            is_target=pl.col("event_type") == "play",
        )
        .sort("user_id", "event_time", maintain_order=True)
        .with_columns(position=pl.int_range(pl.len()).over("user_id"))
    )


def _event(rng: np.random.Generator, day: int, index: int, shift: str) -> tuple:
    user = int(rng.integers(NUM_USERS))
    taste = user % 5
    if shift == "taste":
        taste = 2 if user % 2 else (taste + 1) % 5  # half of the users turn to one category
    category = taste if rng.random() < 0.8 else int(rng.integers(5))
    if shift == "season" and rng.random() < 0.1:
        category = 0  # one category is up for a while
    item = category + 5 * int(min(rng.integers(10), rng.integers(10)))
    if shift == "catalogue" and rng.random() < 0.4:
        item = NUM_ITEMS + category
    play = rng.random() < 0.6
    minutes = float(rng.normal(60, 20))
    device = str(rng.choice(["tv", "phone"]))
    if shift == "logging" and device == "phone":
        minutes, device = minutes * 60, None
    when = START + timedelta(days=day, minutes=float(rng.uniform(0, 24 * 60)))
    return f"u{user}", f"i{item}", when, "play" if play else "impression", minutes if play else None, device


def prepared(folder: Path, log: pl.DataFrame, catalogue: pl.DataFrame, **about: object) -> Path:
    with artifacts.new_folder(folder, kind="dataset", **about) as out:
        write_table(out, "events", log)
        write_table(out, "items", catalogue)
    return folder


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "data", events(), items())


@pytest.fixture(scope="session")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The log prepared again ten days later, after a shift; made once a shift."""
    root = tmp_path_factory.mktemp("incoming")

    def make(shift: str) -> Path:
        folder = root / shift
        if not folder.exists():
            config = Config.model_validate({"world": {"shift": shift if shift != "nothing" else "none"}})
            catalogue = items(new=5 if shift == "catalogue" else 0)
            prepared(folder, events(shift=shift, days=40), catalogue, config=config.model_dump(mode="json"))
        return folder

    return make


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The key of the pseudonyms, as a cluster would give it."""
    monkeypatch.setenv(KEY, PSEUDONYM_KEY.hex())
    return PSEUDONYM_KEY


@pytest.fixture
def run(tmp_path: Path, prepared_data: Path, key: bytes) -> Config:
    """A run with a champion and its data set; `incoming/` and `predictions/` are left to the test."""
    (tmp_path / "data").symlink_to(prepared_data)
    registry = artifacts.Registry(tmp_path / "models")
    with artifacts.new_folder(registry.folder("v1"), kind="version"):
        pass
    registry.promote("v1", cause="test")
    return Config.model_validate({"workdir": str(tmp_path), "monitor": {"window_rows": 800}})


@pytest.fixture
def served() -> Callable[..., pl.DataFrame]:
    """Rows of the prediction log: the first `hits` answers name u<n>'s next take, the others do not."""

    def make(log: pl.DataFrame, *, num: int, hits: int, margin: float = 0.5, version: str = "v1") -> pl.DataFrame:
        next_take = (
            log.filter("is_target", pl.col("event_time") > CUTOFF).group_by("user_id", maintain_order=True).first()
        )
        rows = [next_take.row(index % next_take.height, named=True) for index in range(num)]
        return pl.DataFrame(
            {
                "request_id": [f"r{index}" for index in range(num)],
                "time": [CUTOFF + timedelta(seconds=index) for index in range(num)],
                "user_id": [pseudonym(row["user_id"], PSEUDONYM_KEY) for row in rows],
                "route": ["student" if index % 4 else "reasoner" for index in range(num)],
                "version": [version] * num,
                "narrative": ["likes drama" for _ in rows],
                "scores": [[0.5, 0.1] for _ in rows],
                "items": [[row["item_id"] if index < hits else "elsewhere", "i1"] for index, row in enumerate(rows)],
                "margin": [margin + 0.01 * (index % 7) for index in range(num)],
                "num_events": [row["position"] for row in rows],
                "latency_ms": [5.0 + index % 3 for index in range(num)],
                "probability": [None] * num,
                "gain": [None] * num,
            },
            schema_overrides={"probability": pl.Float32, "gain": pl.Float32},
        )

    return make
