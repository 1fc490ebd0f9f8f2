"""The Open Inference Protocol (V2) form of a ranking: texts and candidate ids in, scores out.

Spoken between the recommender and the model servers, over REST and gRPC. Shapes: B texts, N candidates each.
V2 JSON has no NaN, so an item that the model does not know travels as UNKNOWN_SCORE in every transport.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput

from raconteur.types import FloatArray

UNKNOWN_SCORE = -1e9
MAX_TEXTS = 64
MAX_CANDIDATES = 200
MAX_TEXT_CHARS = 20_000
MAX_ID_CHARS = 512

INPUTS = [
    {"name": "text", "datatype": "BYTES", "shape": [-1]},
    {"name": "candidates", "datatype": "BYTES", "shape": [-1, -1]},
]
OUTPUTS = [{"name": "scores", "datatype": "FP32", "shape": [-1, -1]}]


def ranking_request(texts: Sequence[str], candidates: Sequence[Sequence[str]], *, model: str) -> InferRequest:
    """What the recommender sends to a model server; every text has the same number of candidates."""
    flat = [item_id for row in candidates for item_id in row]
    shape = [len(texts), len(candidates[0])]
    return InferRequest(
        model_name=model,
        infer_inputs=[
            InferInput("text", [len(texts)], "BYTES", data=list(texts)),
            InferInput("candidates", shape, "BYTES", data=flat),
        ],
    )


def read_ranking_request(request: InferRequest) -> tuple[list[str], list[list[str]]]:
    """Texts [B] and candidates [B, N] of a request that came in.

    Raises:
        InvalidInput: answered as 400 (REST) or INVALID_ARGUMENT (gRPC).
    """
    text_B = read_strings(request, "text", ndim=1, max_chars=MAX_TEXT_CHARS)
    candidates_BN = read_strings(request, "candidates", ndim=2, max_chars=MAX_ID_CHARS)
    if not 1 <= len(text_B) <= MAX_TEXTS:
        raise InvalidInput(f"text has {len(text_B)} elements; 1 to {MAX_TEXTS} are allowed: send several requests")
    if len(candidates_BN) != len(text_B):
        raise InvalidInput(f"candidates has {len(candidates_BN)} rows for {len(text_B)} texts; send one row a text")
    if not 1 <= candidates_BN.shape[1] <= MAX_CANDIDATES:
        raise InvalidInput(f"candidates has {candidates_BN.shape[1]} columns; 1 to {MAX_CANDIDATES} are allowed")
    return text_B.tolist(), candidates_BN.tolist()


def ranking_response(request: InferRequest, scores: FloatArray, *, version: str) -> InferResponse:
    """
    Args:
        scores: [B, N]; NaN becomes UNKNOWN_SCORE.
        version: model version, sent as a parameter.
    """
    finite = np.where(np.isnan(scores), UNKNOWN_SCORE, scores).astype(np.float32)
    return respond(request, {"scores": (finite, "FP32")}, parameters={"version": version})


def read_strings(request: InferRequest, name: str, *, ndim: int, max_chars: int) -> np.ndarray:
    """A BYTES input as an array of str, its shape checked."""
    tensor = request.get_input_by_name(name)
    if tensor is None:
        raise InvalidInput(f"input '{name}' is missing; got {[one.name for one in request.inputs]}")
    if tensor.datatype != "BYTES" or len(tensor.shape) != ndim:
        raise InvalidInput(f"input '{name}' is {tensor.datatype} {tensor.shape}; expected BYTES of {ndim} dimension(s)")
    try:
        array = tensor.as_numpy()
        values = [_decode(value) for value in array.reshape(-1)]
    except (ValueError, TypeError, UnicodeDecodeError, IndexError) as error:
        raise InvalidInput(f"input '{name}' does not hold UTF-8 strings of shape {tensor.shape}: {error}") from None
    longest = max(map(len, values), default=0)
    if longest > max_chars:
        raise InvalidInput(f"input '{name}' has a string of {longest} characters; at most {max_chars} are allowed")
    return np.array(values, dtype=object).reshape(array.shape)


def respond(
    request: InferRequest, outputs: dict[str, tuple[np.ndarray, str]], *, parameters: dict[str, Any]
) -> InferResponse:
    """A response of named arrays in the transport that the request asked for."""
    return InferResponse(
        response_id=request.id or "",
        model_name=request.model_name,
        model_version=str(parameters["version"]),
        infer_outputs=[
            InferOutput(name, list(array.shape), datatype, data=array) for name, (array, datatype) in outputs.items()
        ],
        parameters=parameters,
        # gRPC sends arrays as raw bytes anyway; asked for it, kserve 0.21 fails on an array's truth value.
        use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
        requested_outputs=request.request_outputs,
    )


def _decode(value: bytes | str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no string")
