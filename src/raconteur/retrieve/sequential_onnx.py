"""The sequential model as it is served: a graph under ONNX Runtime, which loads in a tenth of torch's time and memory.

`train.retrieval` writes the graph beside the model's weights. Axis letters: B users, L positions, V items.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raconteur.errors import ArtifactError
from raconteur.runtime import start_session
from raconteur.types import FloatArray

GRAPH = "model.onnx"
FILES = (GRAPH, "model.safetensors", "items.json", "config.json")
SCORE_BATCH = 64


class ServedSequential:
    """Implements `types.Retriever`."""

    name = "sequential"

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            ArtifactError: the folder holds no sequential model with a graph.
        """
        try:
            self.item_ids: tuple[str, ...] = tuple(json.loads((folder / "items.json").read_text()))
            self._max_items = int(json.loads((folder / "config.json").read_text())["model"]["max_items"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no readable sequential model: {error}") from error
        self._folder = folder
        self._index = {item_id: number for number, item_id in enumerate(self.item_ids, start=1)}
        self._session = start_session(folder / GRAPH)

    def score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        """Logits [B, V], float32. An empty history scores by a lone padding token."""
        starts = range(0, len(histories), SCORE_BATCH)
        chunks = [self._score(histories[start : start + SCORE_BATCH]) for start in starts]
        return np.concatenate(chunks) if chunks else np.zeros((0, len(self.item_ids)), dtype=np.float32)

    def _score(self, histories: Sequence[Sequence[str]]) -> FloatArray:
        index = self._index
        rows = [[index[item] for item in history if item in index][-self._max_items :] for history in histories]
        items_BL = np.zeros((len(rows), max(1, *map(len, rows), 1)), dtype=np.int64)  # padding on the right, unseen
        for number, row in enumerate(rows):
            items_BL[number, : len(row)] = row
        last_B = np.array([max(0, len(row) - 1) for row in rows], dtype=np.int64)
        scores_BV: FloatArray = self._session.run(["scores"], {"items": items_BL, "last": last_B})[0]
        return scores_BV

    def save(self, folder: Path) -> None:
        """Copies the files that it was loaded from."""
        for name in FILES:
            (folder / name).write_bytes((self._folder / name).read_bytes())
