"""Logs of a process as one JSON object a line on stderr, whoever writes them: we, uvicorn, kserve, Ray.

    {"time": "2026-11-21T16:40:02.113+00:00", "level": "warning", "logger": "serving.follow", "part": "student",
     "message": "...", "request_id": "...", "trace_id": "...", "error": {"type": "", "message": "", "stack": []}}

The last three stand there when there is a request, a trace, an exception. All is ASCII with control characters escaped,
so no text from outside can end a line or open another. User ids are never written; a log line names its request.
"""

import json
import logging
import re
import sys
import threading
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.records.tracing import inject, trace_id

REQUEST_ID = "x-request-id"  # header between the parts; in the V2 protocol the request's own id
MAX_CHARS = 2000
MAX_ID_CHARS = 128
SENDABLE = re.compile(rf"[!-~]{{1,{MAX_ID_CHARS}}}")  # as a header; an id of another form stays here
MAX_FRAMES = 12
OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "kserve", "kserve.trace", "ray", "ray.serve")
# Metrics count requests; a line for each would cost more than it says, and paths can hold user ids.
A_LINE_PER_REQUEST = ("uvicorn.access", "kserve.trace", "httpx")

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure_json_logs(part: str) -> None:
    """Sends every logger of this process to stderr as JSON.

    A program calls it first; where Ray runs, the driver and the replica call it after importing `ray.serve`, which
    puts handlers of its own in place.

    Args:
        part: `recommender`, `student` or `reasoner`.
    """
    # Not sys.stderr: in a replica that is a writer into Ray's log.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonLine(part))
    handler.addFilter(lambda record: not getattr(record, "serve_access_log", False))  # a mark of Ray's
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda *uncaught: _log_uncaught("the program ends", uncaught[1])
    threading.excepthook = lambda uncaught: _log_uncaught("a thread ends", uncaught.exc_value)
    for name in OTHERS:
        other = logging.getLogger(name)
        other.handlers[:] = [one for one in other.handlers if not _is_console(one)]
        other.propagate = True
    for name in A_LINE_PER_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)


def outgoing_headers() -> dict[str, str]:
    """What tells the next part which request and which trace a call belongs to."""
    request_id = request_id_var.get() or ""
    return inject({REQUEST_ID: request_id} if SENDABLE.fullmatch(request_id) else {})


class JsonLine(logging.Formatter):
    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "part": self._part,
            "message": _bounded(record.getMessage(), MAX_CHARS),
        }
        if (request_id := request_id_var.get()) is not None:
            line["request_id"] = _bounded(request_id, MAX_ID_CHARS)
        if (trace := trace_id()) is not None:
            line["trace_id"] = trace
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _told(record.exc_info[1])
        return json.dumps(line)


def _told(error: BaseException) -> dict[str, Any]:
    """An exception, and the innermost places that it came through: files and functions, no values."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return {
        "type": type(error).__name__,
        "message": _bounded(str(error), MAX_CHARS),
        "stack": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-3:])


def _is_console(handler: logging.Handler) -> bool:
    """Handlers of files stay: Ray's tools show what its loggers write there."""
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)


def _bounded(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]}... ({len(text)} characters)"


def _log_uncaught(message: str, error: BaseException | None) -> None:
    logging.getLogger(__name__).critical(message, exc_info=error)
