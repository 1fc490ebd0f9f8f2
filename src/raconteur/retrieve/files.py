"""What the folder of a count-based retriever holds: `config.json` with its kind, `items.json`, `arrays.npz`.

Arrays are plain NumPy; nothing is pickled. Who saves wraps the folder in `artifacts.new_folder` (see `load.save`).
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raconteur.errors import ArtifactError

CONFIG = "config.json"
ITEMS = "items.json"
ARRAYS = "arrays.npz"


@dataclass(frozen=True, slots=True)
class Saved:
    """A folder, read back."""

    settings: dict[str, Any]
    item_ids: tuple[str, ...]
    arrays: dict[str, npt.NDArray[Any]]


def write(
    folder: Path,
    kind: str,
    *,
    item_ids: Sequence[str],
    arrays: Mapping[str, npt.NDArray[Any]],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Writes the three files into an existing folder."""
    (folder / CONFIG).write_text(json.dumps({"kind": kind, "settings": dict(settings or {})}))
    (folder / ITEMS).write_text(json.dumps(list(item_ids)))
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read(folder: Path, kind: str, *, arrays: Sequence[str]) -> Saved:
    """Reads a folder that `write` wrote, with the arrays that the model needs.

    Raises:
        ArtifactError: the folder is of another kind, cannot be read, or lacks an array.
    """
    found = read_kind(folder)
    if found != kind:
        raise ArtifactError(f"{folder} holds a retriever of kind '{found}', expected '{kind}'; use load_retriever")
    try:
        settings = json.loads((folder / CONFIG).read_text())["settings"]
        item_ids = tuple(json.loads((folder / ITEMS).read_text()))
        with np.load(folder / ARRAYS, allow_pickle=False) as archive:
            found_arrays = {name: archive[name] for name in arrays}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{folder} holds no readable {kind} model: {error}; train it again") from error
    return Saved(settings, item_ids, found_arrays)


def read_kind(folder: Path) -> str:
    """The kind of retriever in a folder.

    Raises:
        ArtifactError: the folder has no readable config.
    """
    try:
        return str(json.loads((folder / CONFIG).read_text())["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{folder} is no retriever: {CONFIG} with a kind is missing or unreadable: {error}"
        ) from error
