"""Saves any retriever as an artefact and loads it again by the kind that its config names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from raconteur.artifacts import new_folder, verify
from raconteur.errors import ArtifactError
from raconteur.retrieve.dense import Dense
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.files import read_kind
from raconteur.retrieve.fusion import FusedRetriever
from raconteur.retrieve.lexical import Lexical
from raconteur.retrieve.linear import Linear
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.neighbours import Neighbours
from raconteur.retrieve.popularity import Popularity, RecentPopularity
from raconteur.retrieve.sequential_onnx import GRAPH, ServedSequential
from raconteur.types import Retriever


class SavedRetriever(Retriever, Protocol):
    """A Retriever that can write itself into an existing folder."""

    def save(self, folder: Path) -> None: ...


def save(retriever: SavedRetriever, folder: Path, **about: Any) -> None:
    """Writes a retriever as a finished artefact; `about` goes to its manifest (config, metrics, versions)."""
    with new_folder(folder, artefact="retriever", **about) as unfinished:
        retriever.save(unfinished)


def load_retriever(folder: Path) -> SavedRetriever:
    """Verifies a folder and loads the retriever in it.

    Raises:
        ArtifactError: the folder is incomplete, was changed, or names a kind that nobody can load.
    """
    verify(folder)
    return _load(folder)


def _load(folder: Path) -> SavedRetriever:
    """A folder that was verified, or one part of it."""
    kind = read_kind(folder)
    loaders: Mapping[str, Callable[[Path], SavedRetriever]] = {
        Popularity.kind: Popularity.load,
        RecentPopularity.kind: RecentPopularity.load,
        Ease.kind: Ease.load,
        Markov.kind: Markov.load,
        Linear.kind: Linear.load,
        Neighbours.kind: Neighbours.load,
        Lexical.kind: Lexical.load,
        Dense.kind: Dense.load,
        FusedRetriever.kind: lambda fused: FusedRetriever.load(fused, _load),
        "sequential": _load_sequential,
    }
    if kind not in loaders:
        raise ArtifactError(f"{folder} holds a retriever of kind '{kind}'; known kinds: {', '.join(sorted(loaders))}")
    return loaders[kind](folder)


def _load_sequential(folder: Path) -> SavedRetriever:
    if (folder / GRAPH).exists():
        return ServedSequential(folder)
    from raconteur.retrieve.sequential import SequentialRetriever  # torch loads only where it is needed

    return SequentialRetriever.load(folder)
