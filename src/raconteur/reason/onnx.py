"""The student as it is served: an INT8 ONNX model under ONNX Runtime, with the tokenizer in the same folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from raconteur.errors import ArtifactError
from raconteur.reason.prompts import Prompts
from raconteur.types import FloatArray

MODEL = "model.onnx"
SCORE_BATCH = 128


class OnnxReasoner:
    """Implements `types.Reasoner`."""

    def __init__(self, session: ort.InferenceSession, prompts: Prompts) -> None:
        self._session = session
        self.prompts = prompts

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        parts = [slice(start, start + SCORE_BATCH) for start in range(0, len(texts), SCORE_BATCH)]
        rows = [self._score_batch(texts[part], candidates[part]) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    def _score_batch(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        layout, unknown_BN = self.prompts.choices(texts, candidates)
        feeds = {"ids": layout.ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN}
        scores_BN = self._session.run(["scores"], feeds)[0]
        scores_BN[unknown_BN] = np.nan
        return scores_BN

    @classmethod
    def load(cls, folder: Path, num_threads: int = 1) -> "OnnxReasoner":
        """
        Raises:
            ArtifactError: the folder holds no student, or the runtime lacks an operator of it.
        """
        prompts = Prompts.load(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes share the cores
        try:
            session = ort.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises its own unrelated classes
            raise ArtifactError(f"{folder} holds no readable student: {error}") from error
        return cls(session, prompts)
