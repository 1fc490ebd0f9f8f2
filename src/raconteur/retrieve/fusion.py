"""One retriever out of many: scores of all parts on one scale, weighed and summed.

`reciprocal` sums weight / (60 + rank) over the parts that have an item among their first hundred (Cormack et al.,
"Reciprocal rank fusion", 2009) and needs no training. `learned` sums weight * standardised score, with weights that
`train.retrieval` fits on validation targets. Counts and votes are standardised as logarithms: their largest values are
hundreds of times their median, and a product of chances is a sum of logarithms.
Axis letters: P parts, B histories, V items.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from scipy.stats import rankdata

from raconteur.errors import ArtifactError, ConfigError, DataError
from raconteur.retrieve import files
from raconteur.retrieve.encode import encode, index_items
from raconteur.types import Candidate, FloatArray, Retriever

Method = Literal["learned", "reciprocal"]

COUNTED = frozenset(
    {"popularity", "recent_popularity", "markov", "markov_discounted", "linear", "neighbours", "lexical"}
)
FLOOR = 0.3  # of a row's mean, added before the logarithm: items that were never counted stay comparable
EQUAL = np.float32(1e-4)  # of the mean: scores that deviate by less are equal, the rest is rounding
RANK_OFFSET = 60.0
RANKED = 100  # places of a part that reciprocal rank fusion looks at
BATCH = 256  # histories scored at once by `candidates`: bounds the [parts, batch, catalogue] scores


class Part(Retriever, Protocol):
    """A Retriever that can write itself into an existing folder."""

    def save(self, folder: Path) -> None: ...


@dataclass(eq=False, slots=True)
class FusedRetriever:
    """Scores an item by what its parts say, and names the part that brought it."""

    parts: Mapping[str, Part]
    weights: FloatArray  # [P], in the order of the parts
    method: Method = "learned"
    item_ids: tuple[str, ...] = field(init=False)
    name: str = field(default="fused", init=False)
    _index: dict[str, int] = field(init=False, repr=False)

    kind: ClassVar[str] = "fused"

    def __post_init__(self) -> None:
        if not self.parts or len(self.weights) != len(self.parts):
            raise ConfigError(f"{len(self.parts)} parts and {len(self.weights)} weights; a fusion needs one each")
        if not np.isfinite(self.weights).all():
            raise ConfigError("a weight of the fusion is NaN or infinite; fit it again")
        self.item_ids = next(iter(self.parts.values())).item_ids
        others = [name for name, part in self.parts.items() if part.item_ids != self.item_ids]
        if others:
            raise DataError(f"parts {', '.join(others)} know another catalogue than the first; fit them on one")
        self._index = index_items(self.item_ids)

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Scores [B, V], float32."""
        return self.score_with_parts(histories)[0]

    def score_with_parts(self, histories: Sequence[Sequence[str]]) -> tuple[FloatArray, FloatArray]:
        """Scores [B, V], and what each part says on the common scale [P, B, V]."""
        evidence_PBV = self.evidence(part_scores(self.parts, histories))
        return self._fuse(evidence_PBV), evidence_PBV

    def evidence(self, scores_PBV: FloatArray) -> FloatArray:
        """The parts' scores on the common scale, before they are weighed."""
        if self.method == "reciprocal":
            return reciprocal_ranks(scores_PBV)
        return standardised(scores_PBV, list(self.parts))

    def sources(self, scores_PN: FloatArray) -> list[str]:
        """The part of positive weight that ranks each of these items best among them."""
        trusted_P = self.weights > 0 if (self.weights > 0).any() else np.ones(len(self.weights), dtype=bool)
        names = [name for name, trusted in zip(self.parts, trusted_P, strict=True) if trusted]
        asked_PN = scores_PN[trusted_P]
        better_PN = (asked_PN[:, None, :] > asked_PN[:, :, None]).sum(axis=2)
        places_PN = np.where(np.isnan(asked_PN), asked_PN.shape[1], better_PN)  # without a number: last
        return [names[part] for part in places_PN.argmin(axis=0)]

    def candidates(
        self, histories: Sequence[Sequence[str]], seen: Sequence[Collection[str]], n: int
    ) -> list[list[Candidate]]:
        """The best n items of each history that are not in its `seen`, best first; fewer where fewer are left.

        The source of a candidate is the part of positive weight that ranks it best among the n.

        Raises:
            DataError: `histories` and `seen` differ in length, or n is below 1.
        """
        if len(histories) != len(seen) or n < 1:
            raise DataError(f"{len(histories)} histories, {len(seen)} seen lists, n = {n}; give one list each, n >= 1")
        starts = range(0, len(histories), BATCH)
        return [
            row
            for start in starts
            for row in self._best(histories[start : start + BATCH], seen[start : start + BATCH], n)
        ]

    def _best(
        self, histories: Sequence[Sequence[str]], seen: Sequence[Collection[str]], n: int
    ) -> list[list[Candidate]]:
        scores_PBV = part_scores(self.parts, histories)
        fused_BV = self._fuse(self.evidence(scores_PBV))
        found = []
        for row, removed in enumerate(encode([list(items) for items in seen], self._index)):
            kept_V = np.setdiff1d(np.arange(len(self.item_ids)), removed)
            best_N = np.argsort(-fused_BV[row, kept_V], kind="stable")[:n]
            sources = self.sources(scores_PBV[:, row, kept_V[best_N]])
            found.append(
                [
                    Candidate(self.item_ids[item], float(fused_BV[row, item]), source)
                    for item, source in zip(kept_V[best_N], sources, strict=True)
                ]
            )
        return found

    def _fuse(self, evidence_PBV: FloatArray) -> FloatArray:
        fused_BV: FloatArray = np.tensordot(self.weights.astype(np.float32), evidence_PBV, axes=1)
        return fused_BV

    def save(self, folder: Path) -> None:
        settings = {"parts": list(self.parts), "method": self.method}
        arrays = {"weights": np.asarray(self.weights, dtype=np.float64)}
        files.write(folder, self.kind, item_ids=self.item_ids, arrays=arrays, settings=settings)
        for name, part in self.parts.items():
            (folder / name).mkdir()
            part.save(folder / name)

    @classmethod
    def load(cls, folder: Path, load_part: Callable[[Path], Part]) -> "FusedRetriever":
        """
        Raises:
            ArtifactError: the folder or one of its parts cannot be read, or the parts do not belong together.
        """
        saved = files.read(folder, cls.kind, arrays=["weights"])
        try:
            parts = {name: load_part(folder / name) for name in saved.settings["parts"]}
            return cls(parts, saved.arrays["weights"], saved.settings["method"])
        except (KeyError, ConfigError, DataError) as error:
            raise ArtifactError(f"{folder} holds no readable fused model: {error}; train it again") from error


def part_scores(parts: Mapping[str, Retriever], histories: Sequence[Sequence[str]]) -> FloatArray:
    """Scores [P, B, V], float32, of every part."""
    return np.stack([np.asarray(part.score(histories), dtype=np.float32) for part in parts.values()])


def standardised(scores_PBV: FloatArray, names: Sequence[str]) -> FloatArray:
    """Scores of mean 0 and deviation 1 over each row, those of COUNTED parts as logarithms.

    A row of equal scores (but for what rounding does to them), or one that holds a NaN or an infinity, becomes 0: that
    part then has no say.
    """
    counted_P = np.array([name in COUNTED for name in names])
    real_PB1 = np.isfinite(scores_PBV).all(axis=2, keepdims=True)
    scores_PBV = np.where(real_PB1, scores_PBV, np.float32(0.0)).astype(np.float32, copy=False)
    counts_PBV = np.maximum(scores_PBV[counted_P], 0.0)
    scores_PBV[counted_P] = np.log(counts_PBV + FLOOR * counts_PBV.mean(axis=2, keepdims=True) + np.float32(1e-12))
    mean_PB1 = scores_PBV.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
    scores_PBV -= mean_PB1
    scores_PBV -= scores_PBV.mean(axis=2, keepdims=True)  # what rounding the mean of large scores left
    deviation_PB1 = np.sqrt(np.einsum("pbv,pbv->pb", scores_PBV, scores_PBV) / scores_PBV.shape[2])[:, :, None]
    least_PB1 = np.maximum(EQUAL * np.abs(mean_PB1), np.float32(1e-6))
    scores_PBV *= np.where(deviation_PB1 > least_PB1, 1.0 / np.maximum(deviation_PB1, 1e-6), 0.0).astype(np.float32)
    return scores_PBV


def reciprocal_ranks(scores_PBV: FloatArray) -> FloatArray:
    """1 / (60 + rank) for the first hundred of each row, else 0; equal scores share the worst of their places."""
    numbers_PBV = np.where(np.isfinite(scores_PBV), scores_PBV, -np.inf)
    rank_PBV = rankdata(-numbers_PBV, method="max", axis=2)
    return np.where(rank_PBV <= RANKED, 1.0 / (RANK_OFFSET + rank_PBV), 0.0).astype(np.float32)
