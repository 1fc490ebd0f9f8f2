"""A small real OTLP/HTTP collector: takes spans at /v1/traces, and can hold its answers back."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HOLDS_S = 120


class Collector:
    """Listens on a free port of loopback; `bodies` is what came in, as bytes."""

    def __init__(self):
        self.bodies = []
        self.asked = threading.Event()  # a batch has arrived
        self.answers = threading.Event()  # cleared: batches are taken and not answered
        self.answers.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.asked.set()
                collector.answers.wait(HOLDS_S)
                if self.path == "/v1/traces":
                    collector.bodies.append(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

            def handle(self):
                with suppress(ConnectionError):  # who sent has given up waiting
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self):
        """Every span so far: (service name, span)."""
        return [
            (service_of(resource), one)
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]

    def close(self):
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


def service_of(resource_spans):
    return next(one.value.string_value for one in resource_spans.resource.attributes if one.key == "service.name")


def attributes_of(span):
    """Name to value."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
