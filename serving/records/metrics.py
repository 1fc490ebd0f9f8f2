"""What the recommender and the model servers count for Prometheus (docs/observability.md has the table).

Labels take few values, and never one that a client made up. Metrics are counted where the work is done: tokens and
processor time by the process that runs the model, or by the recommender where a model server of another kind tells it.
"""

from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from serving.path.trace import Served  # the model servers do without what it imports

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EVENTS = (0, 1, 2, 5, 10, 20, 50, 100)
TEXTS = (1, 2, 4, 8, 16, 32, 64)
MAX_PATHS = 64  # patterns of routes; a path beyond them is counted as OTHER
OTHER = "other"

ShedCause = Literal["queue", "rate", "draining"]
ModelOutcome = Literal["answered", "refused", "failed"]


class Metrics:
    """Of the recommender; one registry each, so that tests can run several services in a process."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._paths: set[str] = set()
        self._requests = Counter(
            "raconteur_requests_total", "HTTP requests by path and status", ["path", "status"], registry=registry
        )
        self._routes = Counter(
            "raconteur_recommendations_total",
            "recommendations by the path that they took",
            ["route", "degraded"],
            registry=registry,
        )
        self._latency = Histogram(
            "raconteur_recommendation_seconds",
            "time of a recommendation in the service",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "raconteur_stage_seconds",
            "time of a stage of a recommendation",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._repairs = Counter(
            "raconteur_repaired_answers_total", "answers that the guard had to repair", registry=registry
        )
        self._narrative_age = Histogram(
            "raconteur_narrative_age_events",
            "events of the user that are newer than the narrative",
            buckets=EVENTS,
            registry=registry,
        )
        self._in_work = Gauge("raconteur_requests_in_work", "requests that are worked on", registry=registry)
        self._shed = Counter(
            "raconteur_shed_requests_total", "requests refused because of load, by cause", ["cause"], registry=registry
        )
        self._caches = Counter(
            "raconteur_cache_total", "look-ups and evictions by cache", ["cache", "outcome"], registry=registry
        )
        self._breakers = Gauge(
            "raconteur_breaker_open", "1 while the part is left alone after failures", ["part"], registry=registry
        )
        self._refreshed = Counter(
            "raconteur_narratives_refreshed_total", "texts written again, by outcome", ["outcome"], registry=registry
        )
        self._cost = _Cost(registry)
        self._rows = Counter(
            "raconteur_log_rows_total", "rows of the logs by outcome", ["log", "outcome"], registry=registry
        )
        self._version = Gauge(
            "raconteur_model_version_info", "1 for the version that serves", ["version"], registry=registry
        )

    def count_request(self, path: str, status: int) -> None:
        """
        Args:
            path: the pattern of the route, not what the client asked for; `OTHER` where no route fits.
        """
        self._requests.labels(self._known(path), str(status)).inc()

    def count_served(self, served: "Served") -> None:
        self._routes.labels(served.route, str(served.degraded).lower()).inc()
        self._latency.labels(served.route).observe(served.latency_ms / 1000)
        for stage, spent_ms in served.stage_ms.items():
            self._stages.labels(stage).observe(spent_ms / 1000)
        if served.repairs:
            self._repairs.inc()

    def observe_narrative_age(self, num_events: int) -> None:
        self._narrative_age.observe(num_events)

    def set_queue(self, *, in_work: int) -> None:
        self._in_work.set(in_work)

    def count_shed(self, cause: ShedCause) -> None:
        self._shed.labels(cause).inc()

    def count_cache(self, cache: str, outcome: str) -> None:
        """
        Args:
            outcome: `hit`, `miss`, `shared` (waited for another's computation) or `evicted`.
        """
        self._caches.labels(cache, outcome).inc()

    def cache_counts(self) -> dict[tuple[str, str], int]:
        """Look-ups so far, by cache and outcome."""
        samples = [sample for family in self._caches.collect() for sample in family.samples]
        return {
            (sample.labels["cache"], sample.labels["outcome"]): int(sample.value)
            for sample in samples
            if sample.name.endswith("_total")
        }

    def count_refresh(self, outcome: str) -> None:
        self._refreshed.labels(outcome).inc()

    def set_breaker(self, part: str, open: bool) -> None:
        self._breakers.labels(part).set(open)

    def count_read(self, model: str, *, num_tokens: int, processor_ms: float = 0.0) -> None:
        """What a model read, where its server tells it and does not count it itself."""
        self._cost.count(model, num_tokens, processor_ms)

    def count_rows(self, log: str, outcome: str, num_rows: int) -> None:
        self._rows.labels(log, outcome).inc(num_rows)

    def text(self, *, version: str) -> bytes:
        """The page that Prometheus reads."""
        self._version.clear()
        self._version.labels(version).set(1)
        return generate_latest(self._registry)

    def _known(self, path: str) -> str:
        if path not in self._paths and len(self._paths) >= MAX_PATHS:
            return OTHER
        self._paths.add(path)
        return path


class ModelMetrics:
    """Of the models of one model server.

    Args:
        registry: kserve's page at /metrics shows `prometheus_client.REGISTRY`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "raconteur_model_requests_total", "requests by outcome", ["model", "outcome"], registry=registry
        )
        self._waiting = Gauge(
            "raconteur_model_waiting", "requests that wait for the model or use it", ["model"], registry=registry
        )
        self._batch = Histogram(
            "raconteur_model_batch_texts", "texts of a call of the model", ["model"], buckets=TEXTS, registry=registry
        )
        self._seconds = Histogram(
            "raconteur_model_seconds", "time of a call of the model", ["model"], buckets=SECONDS, registry=registry
        )
        self._cost = _Cost(registry)
        self._version = Gauge(
            "raconteur_model_version_info",
            "1 for the version that answered last",
            ["model", "version"],
            registry=registry,
        )
        self._announced: dict[str, str] = {}  # version by model

    def count_request(self, model: str, outcome: ModelOutcome) -> None:
        self._requests.labels(model, outcome).inc()

    def set_waiting(self, model: str, num_requests: int) -> None:
        self._waiting.labels(model).set(num_requests)

    def count_call(
        self, model: str, version: str, *, num_texts: int, num_tokens: int, spent_s: float, processor_ms: float
    ) -> None:
        """One call of a model."""
        self._batch.labels(model).observe(num_texts)
        self._seconds.labels(model).observe(spent_s)
        self._cost.count(model, num_tokens, processor_ms)
        before = self._announced.get(model)
        if version != before:
            if before is not None:
                self._version.remove(model, before)
            self._version.labels(model, version).set(1)
            self._announced[model] = version


class _Cost:
    """What both kinds of process count under the same names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Counter("raconteur_tokens_read_total", "tokens that a model read", ["model"], registry=registry)
        self._processor_ms = Counter(
            "raconteur_processor_ms_total", "milliseconds of processor time of a model", ["model"], registry=registry
        )

    def count(self, model: str, num_tokens: int, processor_ms: float) -> None:
        self._tokens.labels(model).inc(num_tokens)
        self._processor_ms.labels(model).inc(processor_ms)
