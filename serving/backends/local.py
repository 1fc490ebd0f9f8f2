"""A ranker in this process: the champion's student under ONNX Runtime, or its Reasoner under torch.

One thread computes, see `serving.batches`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from raconteur.artifacts import Registry
from raconteur.columns import ITEM_ID
from raconteur.errors import ArtifactError
from raconteur.reason.load import load_reasoner, load_student
from raconteur.reason.prompts import Prompts
from raconteur.types import FloatArray, Reasoner
from serving.backends.checks import checked_scores, readable
from serving.batches import Batches
from serving.follow import Follower

LOADERS = {"student": load_student, "reasoner": load_reasoner}
NUM_TRIED = 20  # items of the catalogue that a model scores before it serves

Answer = tuple[FloatArray, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str
    candidates: list[str]


class LocalRanker:
    """Implements `contract.Ranker` with the champion's model, whichever that is when a call starts."""

    def __init__(self, name: str, follower: Follower[Reasoner]) -> None:
        self.name = name
        self._follower = follower
        # A list cannot be padded, since the model reads all of it: only lists of one length go together.
        self._batches = Batches[_Asked, Answer](name, self._scored, key=lambda asked: len(asked.candidates))

    async def score(self, text: str, candidates: Sequence[str], *, timeout_s: float) -> Answer:
        asked = _Asked(*readable(text, candidates))
        row_N, version = await self._batches.ask(asked, timeout_s=timeout_s)
        unknown_N = np.isnan(row_N[: len(asked.candidates)])
        return checked_scores(row_N, unknown_N, name=self.name), version

    async def close(self) -> None:
        self._follower.stop()
        self._batches.close()

    def _scored(self, batch: list[_Asked]) -> list[Answer]:
        current = self._follower.current  # one version for the whole batch
        scores_BN = current.parts.score([asked.text for asked in batch], [asked.candidates for asked in batch])
        return [(row_N, current.version) for row_N in scores_BN]


def open_local(
    name: str, models: Path, *, max_texts: int = 0, count: Callable[[str], None] = lambda _: None
) -> LocalRanker:
    """
    Args:
        name: `student` or `reasoner`: also its folder within a version.
        models: the registry.
        max_texts: whose encodings are kept, of each version.
        count: told what becomes of a text: `hit`, `miss` or `evicted`.

    Raises:
        ArtifactError: no usable champion.
    """

    def load(version: Path) -> Reasoner:
        ranker = tried(LOADERS[name](version / name), version)
        prompts = getattr(ranker, "prompts", None)
        if isinstance(prompts, Prompts):  # a language model of another make has a form of its own
            prompts.keep_texts(max_texts, count)
        return ranker

    follower = Follower(Registry(models), load)
    follower.start()
    return LocalRanker(name, follower)


def tried(ranker: Reasoner, version: Path) -> Reasoner:
    """The ranker after a first call: one that cannot rank is refused, and the slow first call is nobody's request.

    Raises:
        ArtifactError: it scores nothing of its own catalogue, or infinitely.
    """
    ids = pl.read_parquet(version / "items.parquet", columns=[ITEM_ID])[ITEM_ID]
    some = ids.gather_every(max(1, len(ids) // NUM_TRIED)).head(NUM_TRIED).to_list()
    scores_N = ranker.score(["a first text"], [some])[0]
    if np.isinf(scores_N).any() or np.isnan(scores_N).all():
        raise ArtifactError(f"{version} holds a model that scores items of its own catalogue as {scores_N.tolist()}")
    return ranker
