"""The Open Inference Protocol (V2) form of a narration: histories in, texts out.

Spoken between the recommender's refresh and the Verbalizer's server. A history travels as JSON, `{"events": [...]}`,
oldest event first, its fields those of `types.Event`. Whose it is does not travel: no Verbalizer reads the user id.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from kserve import InferInput, InferRequest, InferResponse
from kserve.errors import InvalidInput
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from raconteur.artifacts import content_version, read_manifest
from raconteur.types import Event, History
from serving.protocol import MAX_ID_CHARS, read_strings, respond

MAX_HISTORIES = 16  # of one request
MAX_EVENTS = 100  # of one history; the newest ones are what a Verbalizer is shown
MAX_HISTORY_CHARS = 200_000  # of its JSON

VERBALIZER = "verbalizer"  # its folder within a version, and its name on our server
WEIGHTS = "model.safetensors"

INPUTS = [{"name": "history", "datatype": "BYTES", "shape": [-1]}]
OUTPUTS = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]

Name = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]


@dataclass(frozen=True, slots=True)
class Author:
    """What wrote a text: the parameters of a response."""

    version: str  # of the model registry
    verbalizer_version: str  # as in a narrative's row
    catalogue_version: str


class EventJson(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: Name
    event_time: AwareDatetime
    event_type: Name
    value: FiniteFloat | None = None
    session_id: Name | None = None
    context: dict[Name, Annotated[str, Field(max_length=1000)]] = Field(default_factory=dict, max_length=50)


class HistoryJson(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    events: list[EventJson] = Field(max_length=MAX_EVENTS)


def author_of(version: Path) -> Author:
    """
    Args:
        version: a verified version folder that holds a Verbalizer.
    """
    folder = version / VERBALIZER
    # As the narrate step names it, so that its texts and ours are told apart only where another Verbalizer wrote them.
    files = read_manifest(folder)["files"]
    named = files[WEIGHTS][:12] if WEIGHTS in files else content_version(folder)
    return Author(version.name, named, str(read_manifest(version).get("catalogue_version", "unknown")))


def narration_request(histories: Sequence[History], *, model: str) -> InferRequest:
    """What is sent to the server; of each history the newest events that it takes."""
    lines = [_json(history) for history in histories]
    return InferRequest(model_name=model, infer_inputs=[InferInput("history", [len(lines)], "BYTES", data=lines)])


def read_narration_request(request: InferRequest) -> list[History]:
    """
    Raises:
        InvalidInput: answered as 400 (REST) or INVALID_ARGUMENT (gRPC).
    """
    lines = read_strings(request, "history", ndim=1, max_chars=MAX_HISTORY_CHARS)
    if not 1 <= len(lines) <= MAX_HISTORIES:
        raise InvalidInput(
            f"history has {len(lines)} elements; 1 to {MAX_HISTORIES} are allowed: send several requests"
        )
    return [_history(line) for line in lines]


def narration_response(request: InferRequest, texts: Sequence[str], *, author: Author) -> InferResponse:
    """
    Args:
        texts: one a history.
    """
    return respond(request, {"text": (np.array(texts, dtype=object), "BYTES")}, parameters=asdict(author))


def _json(history: History) -> str:
    events = [
        EventJson.model_construct(
            item_id=event.item_id,
            event_time=event.event_time,
            event_type=event.event_type,
            value=event.value,
            session_id=event.session_id,
            context=dict(event.context),
        )
        for event in history.events[-MAX_EVENTS:]
    ]
    return HistoryJson.model_construct(events=events).model_dump_json()


def _history(line: str) -> History:
    try:
        events = HistoryJson.model_validate_json(line, strict=True).events
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"a history is not as expected: {place}: {first['msg']}") from None
    return History("", tuple(Event(**dict(event)) for event in events))
