"""The least that an answer can cost: its parts one after another in this process, without any server.

One Feast read, the text and 20 candidates encoded, the champion's student as a bare ONNX Runtime session; with
retrieval, as a second line. Users whom the service answers without a student (unknown, or nothing taken yet) are left
out, so the floor is that of the student's path.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from pathlib import Path

import numpy as np

from raconteur.artifacts import Registry
from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.features.state import UserState
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import Prompts
from raconteur.represent.recent import append_recent
from raconteur.retrieve.load import load_retriever
from raconteur.runtime import start_session
from raconteur.types import Retriever
from serving.load.generate import Tick
from serving.load.record import Record
from serving.path.features import OnlineFeatures

NUM_WARM = 20


@dataclass(frozen=True, slots=True)
class Floor:
    ranking: Record  # read, encode, session
    retrieving: Record  # the same answers with retrieval


@dataclass(frozen=True, slots=True)
class Parts:
    """What an answer is made of, each as one call.

    Args:
        read: the user's state and narrative from Feast.
        retrieve: ids of the candidates for what the user took.
        encode: the session's inputs for a user and candidates.
        run: scores of the candidates.
    """

    read: Callable[[str], UserState | None]
    retrieve: Callable[[UserState], list[str]]
    encode: Callable[[UserState, list[str]], dict[str, np.ndarray]]
    run: Callable[[dict[str, np.ndarray]], object]


def open_parts(config: Config) -> Parts:
    """
    Raises:
        ArtifactError: no usable champion.
        ServingError: no feature store.
    """
    champion = Registry(config.workdir / "models").champion_folder()
    retriever = load_retriever(champion / "retriever")
    count = config.retrieve.num_ranked
    encode, run = _open_student(champion / "student")
    features = OnlineFeatures(config.workdir / "features")
    return Parts(features.read, lambda state: best(retriever, state.recent_items, count), encode, run)


def measure_floor(parts: Parts, users: Iterable[str], *, num_requests: int, tick: Tick) -> Floor:
    """Times the parts over the users in turn, after some that only warm up.

    Raises:
        DataError: no user of these has taken anything.
    """
    floor, count = Floor(Record(), Record()), NUM_WARM + num_requests
    for number, user in enumerate(islice(cycle(users), count)):
        tick(number / count)
        stage_ms = _answer(parts, user)
        if stage_ms is None or number < NUM_WARM:
            continue
        _count(floor.retrieving, stage_ms)
        _count(floor.ranking, {name: spent_ms for name, spent_ms in stage_ms.items() if name != "retrieve"})
    if not floor.ranking.latency_ms:
        raise DataError("nobody of the users that were asked for has taken anything; ask for more users")
    return floor


def best(retriever: Retriever, taken: Iterable[str], count: int) -> list[str]:
    """Ids of the `count` items with the highest scores, without any rule of the service."""
    scores_V = np.nan_to_num(np.asarray(retriever.score([list(taken)])[0]), nan=-np.inf)
    order = np.argsort(-scores_V, kind="stable")[:count]
    return [retriever.item_ids[index] for index in order]


def _answer(parts: Parts, user: str) -> dict[str, float] | None:
    """Milliseconds of each part; None for a user whom no student ranks for."""
    marks = [time.perf_counter()]
    state = parts.read(user)
    marks.append(time.perf_counter())
    if state is None or not state.recent_items:
        return None
    candidates = parts.retrieve(state)
    marks.append(time.perf_counter())
    feeds = parts.encode(state, candidates)
    marks.append(time.perf_counter())
    parts.run(feeds)
    marks.append(time.perf_counter())
    names = ("features", "retrieve", "encode", "session")
    return {name: (after - before) * 1000 for name, (before, after) in zip(names, pairwise(marks), strict=True)}


def _count(record: Record, stage_ms: dict[str, float]) -> None:
    total_ms = sum(stage_ms.values())
    record.latency_ms.append(total_ms)
    record.add_stages(stage_ms)
    record.seconds += total_ms / 1000


def _open_student(
    folder: Path,
) -> tuple[Callable[[UserState, list[str]], dict[str, np.ndarray]], Callable[[dict[str, np.ndarray]], object]]:
    session, prompts = start_session(folder / MODEL), Prompts.load(folder)

    def encode(state: UserState, candidates: list[str]) -> dict[str, np.ndarray]:
        layout, _ = prompts.choices([_text(state)], [candidates])
        return {"ids": layout.ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN}

    return encode, lambda feeds: session.run(["scores"], feeds)


def _text(state: UserState) -> str:
    """As the service writes it: the narrative, and after it the events that it does not cover yet."""
    narrative = state.narrative
    text, as_of = (narrative.text, narrative.as_of) if narrative else ("", None)
    return append_recent(text, state.recent_events, as_of=as_of)
