"""The student as it is served: a quantised ONNX model under ONNX Runtime, with the tokenizer in the same folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from raconteur.artifacts import MANIFEST, verify
from raconteur.reason.prompts import Prompts
from raconteur.runtime import start_session
from raconteur.types import FloatArray

MODEL = "model.onnx"
SCORE_BATCH = 128


class OnnxReasoner:
    """Implements `types.Reasoner`."""

    def __init__(self, session: ort.InferenceSession, prompts: Prompts) -> None:
        self._session = session
        self.prompts = prompts
        self.num_tokens_read = 0  # by all calls, padding included

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        parts = [slice(start, start + SCORE_BATCH) for start in range(0, len(texts), SCORE_BATCH)]
        rows = [self._score_batch(texts[part], candidates[part]) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    def _score_batch(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        layout, unknown_BN = self.prompts.choices(texts, candidates)
        self.num_tokens_read += layout.ids_BL.size
        feeds = {"ids": layout.ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN}
        scores_BN = self._session.run(["scores"], feeds)[0]
        scores_BN[unknown_BN] = np.nan
        return scores_BN

    @classmethod
    def load(cls, folder: Path, num_threads: int = 1) -> "OnnxReasoner":
        """
        Raises:
            ArtifactError: the folder holds no student, a file was changed, or the runtime lacks an operator of it.
        """
        if (folder / MANIFEST).exists():  # a part of a version may have none: the version's covers it
            verify(folder)
        return cls(start_session(folder / MODEL, num_threads), Prompts.load(folder))
