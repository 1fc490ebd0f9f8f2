"""What the recommender counts for Prometheus; one registry a process, so that tests can run several services."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.path.trace import Served

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "raconteur_requests_total", "HTTP requests by path and status", ["path", "status"], registry=self._registry
        )
        self._routes = Counter(
            "raconteur_recommendations_total",
            "recommendations by the path that they took",
            ["route", "degraded"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "raconteur_recommendation_seconds",
            "time of a recommendation in the service",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "raconteur_stage_seconds",
            "time of a stage of a recommendation",
            ["stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._repairs = Counter(
            "raconteur_repaired_answers_total", "answers that the guard had to repair", registry=self._registry
        )
        self._rows = Counter(
            "raconteur_log_rows_total", "rows of the logs by outcome", ["log", "outcome"], registry=self._registry
        )
        self._version = Gauge(
            "raconteur_model_version_info", "1 for the version that serves", ["version"], registry=self._registry
        )

    def count_request(self, path: str, status: int) -> None:
        self._requests.labels(path, str(status)).inc()

    def count_served(self, served: Served) -> None:
        self._routes.labels(served.route, str(served.degraded).lower()).inc()
        self._latency.labels(served.route).observe(served.latency_ms / 1000)
        for stage, spent_ms in served.stage_ms.items():
            self._stages.labels(stage).observe(spent_ms / 1000)
        if served.repairs:
            self._repairs.inc()

    def count_rows(self, log: str, outcome: str, num_rows: int) -> None:
        self._rows.labels(log, outcome).inc(num_rows)

    def text(self, *, version: str) -> bytes:
        """The page that Prometheus reads."""
        self._version.clear()
        self._version.labels(version).set(1)
        return generate_latest(self._registry)
