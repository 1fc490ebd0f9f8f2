"""The Open Inference Protocol (V2) form of a recommendation, the same for REST and gRPC.

Inputs:     `user_id` BYTES [1]; or `history` BYTES [1], for a user that nobody knows: JSON, a list of events as in
            POST /v1/recommendations, oldest first. With both, the history counts instead of the stored one.
Parameters: `k`, `latency_budget_ms`, `explain`, `query`.
Outputs:    `items` BYTES [1, n], `scores` FP32 [1, n] and, with `explain`, `reasons` BYTES [1, n].
Parameters of the answer: `route`, `reason`, `degraded`, `version`, `narrative_version`, `catalogue_version`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from kserve import InferRequest, InferResponse
from kserve.errors import InvalidInput
from pydantic import ValidationError

from serving.path.service import Service
from serving.path.trace import Served
from serving.protocol import MAX_ID_CHARS, UNKNOWN_SCORE, read_strings, respond
from serving.schema import RecommendRequest

MODEL = "recommender"
PLATFORM = "ray_serve"
INPUTS = [
    {"name": "user_id", "datatype": "BYTES", "shape": [1]},
    {"name": "history", "datatype": "BYTES", "shape": [1]},
]
OUTPUTS = [
    {"name": "items", "datatype": "BYTES", "shape": [1, -1]},
    {"name": "scores", "datatype": "FP32", "shape": [1, -1]},
    {"name": "reasons", "datatype": "BYTES", "shape": [1, -1]},
]
PARAMETERS = frozenset({"k", "latency_budget_ms", "explain", "query"})
OF_TRANSPORT = frozenset({"binary_data_output"})  # parameters that say how to answer, not what
MAX_HISTORY_CHARS = 1024 * 1024


def checked(asked: InferRequest) -> InferRequest:
    """The request, if it has the form that kserve's own methods take for granted.

    Raises:
        InvalidInput: an id or name is no string, a shape no list of numbers, or parameters are no object.
    """
    outputs = asked.request_outputs or ()
    fits = (
        isinstance(asked.id, str | None)
        and all(isinstance(one.name, str) for one in (*asked.inputs, *outputs))
        and all(isinstance(one.parameters, Mapping | None) for one in (asked, *asked.inputs, *outputs))
        and all(isinstance(one.shape, list) and all(type(n) is int for n in one.shape) for one in asked.inputs)
    )
    if not fits:
        raise InvalidInput("an id or a name is no string, a shape no list of numbers, or parameters are no object")
    return asked


async def infer(service: Service, asked: InferRequest, *, left_ms: float | None = None) -> InferResponse:
    """
    Args:
        left_ms: what the transport knows of the client's patience; the smaller of it and `latency_budget_ms` holds.

    Raises:
        InvalidInput: answered as 400 (REST) or INVALID_ARGUMENT (gRPC).
        ServingError: the service cannot answer now.
    """
    request = recommend_request(asked, max_k=service.config.serve.max_k, left_ms=left_ms)
    return response(asked, await service.recommend(request), explain=request.explain)


def recommend_request(asked: InferRequest, *, max_k: int, left_ms: float | None = None) -> RecommendRequest:
    """
    Raises:
        InvalidInput: an input or a parameter is missing, unknown, malformed or out of bounds.
    """
    _refuse_unknown([one.name for one in asked.inputs], known=[one["name"] for one in INPUTS], what="input")
    body = {"user_id": _user_id(asked), "history": _history(asked), **_parameters(asked)}
    if body["user_id"] is None and body["history"] is None:
        raise InvalidInput("input 'user_id' is missing; send it, or 'history' for a user that nobody knows")
    try:
        # Strict, and from JSON: neither "10" nor true is a number of items, but a time may be a string.
        request = RecommendRequest.model_validate_json(orjson.dumps(body), strict=True)
    except ValidationError as error:
        raise InvalidInput(_said(error)) from None
    except TypeError as error:  # a number beyond 64 bits
        raise InvalidInput(f"a parameter cannot be read: {error}") from None
    if request.k > max_k:
        raise InvalidInput(f"parameter k is {request.k}; expected a whole number from 1 to {max_k}")
    patience_ms = [ms for ms in (request.latency_budget_ms, left_ms) if ms is not None]
    return request.model_copy(update={"latency_budget_ms": min(patience_ms, default=None)})


def response(asked: InferRequest, served: Served, *, explain: bool) -> InferResponse:
    """The answer in the transport that the request came in."""
    items = np.array([[candidate.item_id for candidate in served.ranking]], dtype=object)
    scores = np.array([[candidate.score for candidate in served.ranking]], dtype=np.float32)
    outputs = {
        "items": (items, "BYTES"),
        "scores": (np.where(np.isnan(scores), np.float32(UNKNOWN_SCORE), scores), "FP32"),
    }
    if explain:
        outputs["reasons"] = (np.array([list(served.reasons)], dtype=object), "BYTES")
    asked.id = asked.id or served.request_id
    return respond(asked, outputs, parameters=_described(served))


def _user_id(asked: InferRequest) -> str | None:
    if asked.get_input_by_name("user_id") is None:
        return None
    user_ids = read_strings(asked, "user_id", ndim=1, max_chars=MAX_ID_CHARS).tolist()
    if len(user_ids) != 1 or not user_ids[0]:
        raise InvalidInput(f"user_id has {len(user_ids)} elements; send exactly one id that is not empty")
    return str(user_ids[0])


def _history(asked: InferRequest) -> list[Any] | None:
    if asked.get_input_by_name("history") is None:
        return None
    texts = read_strings(asked, "history", ndim=1, max_chars=MAX_HISTORY_CHARS).tolist()
    if len(texts) != 1:
        raise InvalidInput(f"history has {len(texts)} elements; send exactly one, a JSON list of events")
    try:
        events = orjson.loads(texts[0])
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"history is no JSON: {error}") from None
    if not isinstance(events, list):
        raise InvalidInput(f"history is JSON of type {type(events).__name__}; expected a list of events")
    return events


def _parameters(asked: InferRequest) -> dict[str, Any]:
    given = {name: value for name, value in (asked.parameters or {}).items() if name not in OF_TRANSPORT}
    _refuse_unknown(list(given), known=sorted(PARAMETERS), what="parameter")
    return given


def _refuse_unknown(names: list[str], *, known: list[str], what: str) -> None:
    """A misspelt name would otherwise change nothing, silently."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InvalidInput(f"{what} {', '.join(map(repr, unknown))} is unknown; known are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise InvalidInput(f"an {what} is sent twice: {', '.join(names)}")


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    what = f"parameter {place}" if place in PARAMETERS else place or "the request"
    return f"{what} is {str(first['input'])[:100]!r}: {first['msg']}"


def _described(served: Served) -> Mapping[str, Any]:
    return {
        "route": served.route,
        "reason": served.reason,
        "degraded": served.degraded,
        "version": served.version,
        "narrative_version": served.narrative_version or "",
        "catalogue_version": served.catalogue_version or "",
    }
