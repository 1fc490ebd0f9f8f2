"""Opens ONNX graphs: the same session settings wherever a student or a retriever is served."""

from pathlib import Path

import onnxruntime as ort

from raconteur.errors import ArtifactError


def start_session(model: Path, num_threads: int = 1) -> ort.InferenceSession:
    """
    Raises:
        ArtifactError: there is no such model, or the runtime lacks an operator of it; the message names the operator.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes share the cores
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises its own unrelated classes
        said = " ".join(str(error).split())
        raise ArtifactError(f"{model} is no graph that ONNX Runtime {ort.__version__} can run: {said}") from error
