"""One trace a request, from the client through the recommender to the model servers: W3C headers, OTLP over HTTP.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set: then no SDK is imported and a span is a shared object that does nothing.
Spans wait in a bounded queue and leave in batches from a thread of their own, so a collector that is slow or down costs
spans, never answers.

Attributes are counts, routes, versions and pseudonyms, never user ids or texts; so an exception leaves its type in a
span, not its message. The tracer provider is ours and not the global one, which Ray and FastAPI would fill as well.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raconteur.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanKind, Tracer
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"  # environment: address of the collector, without /v1/traces
SERVICE_NAME = "OTEL_SERVICE_NAME"  # environment: in place of raconteur-student and the like

MAX_WAITING = 1024  # spans; the oldest make room
BATCH = 256
SEND_EVERY_MS = 1000
SEND_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
SAY_EVERY_S = 60.0
MAX_ATTRIBUTE_CHARS = 100

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class _Tracing:
    tracer: "Tracer"
    provider: "TracerProvider"
    headers: "TraceContextTextMapPropagator"


_tracing: _Tracing | None = None  # of this process; None: off
_OFF: AbstractContextManager[None] = nullcontext()


def start_tracing(part: str) -> None:
    """Called once by a process before it takes requests; does nothing where no collector is named.

    Args:
        part: `recommender`, `student` or `reasoner`.

    Raises:
        ConfigError: an OTEL_ variable has a value that the exporter refuses.
    """
    global _tracing
    if _tracing is None and os.environ.get(ENDPOINT):
        _tracing = _open(part)
        atexit.register(stop_tracing)


def stop_tracing() -> None:
    """Sends the spans that wait, for `STOP_WITHIN_S` at most, and switches tracing off."""
    global _tracing
    tracing, _tracing = _tracing, None
    if tracing is not None:
        stopping = threading.Thread(target=tracing.provider.shutdown, name="tracing-stop", daemon=True)
        stopping.start()
        stopping.join(STOP_WITHIN_S)


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A stage of the current request.

    It follows `await`. Into a thread it goes with `contextvars.copy_context().run`, which executors do not do.
    """
    if _tracing is None:
        return _OFF
    from opentelemetry.trace import SpanKind

    return _recorded(_tracing.tracer, name, SpanKind.INTERNAL, None, attributes)


def server_span(headers: Mapping[str, str], name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """The work on a call that came in; part of the caller's trace where `headers` name one, else a new trace.

    Args:
        headers: of HTTP or gRPC metadata, names in lower case.
    """
    if _tracing is None:
        return _OFF
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind

    parent = _tracing.headers.extract(headers, Context())
    return _recorded(_tracing.tracer, name, SpanKind.SERVER, parent, attributes)


def annotate(**attributes: Attribute) -> None:
    """Adds what became known meanwhile to the current span."""
    if _tracing is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(attributes)


def inject(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a call that goes out, with the current span in them."""
    if _tracing is not None:
        _tracing.headers.inject(headers)
    return headers


def trace_id() -> str | None:
    """Of the current request, 32 hex digits; None where it is not traced."""
    if _tracing is None:
        return None
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


@contextmanager
def _recorded(
    tracer: "Tracer",
    name: str,
    kind: "SpanKind",
    parent: "Context | None",
    attributes: Mapping[str, Attribute],
) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:  # also a cancelled one
            current.set_status(StatusCode.ERROR)
            current.set_attribute("error.type", type(error).__name__)
            raise


def _open(part: str) -> _Tracing:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    try:
        exporter = OTLPSpanExporter(timeout=SEND_WITHIN_S)
        provider = TracerProvider(
            resource=Resource.create({"service.name": os.environ.get(SERVICE_NAME) or f"raconteur-{part}"}),
            span_limits=SpanLimits(max_span_attribute_length=MAX_ATTRIBUTE_CHARS),
            shutdown_on_exit=False,  # it waits half a minute for a collector that hangs
        )
    except ValueError as error:
        raise ConfigError(f"tracing ({ENDPOINT} is set) cannot start: {error}; see the OTEL_ variables") from error
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").addFilter(_Seldom())
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=SEND_EVERY_MS,
        )
    )
    return _Tracing(provider.get_tracer("raconteur"), provider, TraceContextTextMapPropagator())


class _Seldom(logging.Filter):
    """Lets a line through now and then: a collector that is down says so with every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + SAY_EVERY_S
        return True
