"""Rows of the two logs that monitoring reads: predictions, and feedback as it arrived (docs/architecture.md)."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from raconteur import columns as c
from raconteur.config.schema import ServeConfig
from raconteur.types import Event
from serving.path.routing import Routed
from serving.path.trace import Served
from serving.records.parquet_log import ParquetLog

TIME = pa.timestamp("us", tz="UTC")

PREDICTIONS = pa.schema(
    {
        "request_id": pa.string(),
        "time": TIME,
        "user_id": pa.string(),
        "k": pa.int64(),
        "route": pa.string(),
        "reason": pa.string(),
        "degraded": pa.bool_(),
        "cached": pa.bool_(),  # decided for an equal request before: not a decision of its own
        "version": pa.string(),
        "narrative_version": pa.string(),
        "narrative": pa.string(),
        "candidates": pa.list_(pa.string()),
        "sources": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
        "items": pa.list_(pa.string()),
        "margin": pa.float32(),
        "num_events": pa.int64(),
        "context": pa.map_(pa.string(), pa.string()),
        "latency_ms": pa.float32(),
        "stage_ms": pa.map_(pa.string(), pa.float32()),
        # What the router saw and chose (`policy.replay`); null where no student answered.
        "decision": pa.string(),
        "propensity": pa.float32(),
        "gain": pa.float32(),
        "probability": pa.float32(),
        "router_version": pa.string(),
        "student_scores": pa.list_(pa.float32()),
        "num_cold": pa.int64(),
        "wants_query": pa.bool_(),
        "wants_explanation": pa.bool_(),
        "latency_left_ms": pa.float64(),
        "load": pa.float64(),
        "cost_left": pa.float64(),
    }
)

EVENTS = pa.schema(
    {
        c.USER_ID: pa.string(),
        c.ITEM_ID: pa.string(),
        c.EVENT_TIME: TIME,
        c.EVENT_TYPE: pa.string(),
        c.VALUE: pa.float64(),
        c.SESSION_ID: pa.string(),
        c.CONTEXT: pa.map_(pa.string(), pa.string()),
    }
)


def open_log(folder: Path, schema: pa.Schema, serve: ServeConfig, *, count: Callable[[str, int], None]) -> ParquetLog:
    """Events that were accepted are never lost or removed; of predictions the last `serve.log_seconds` may be lost."""
    accepted = schema is EVENTS
    days = None if accepted else serve.log_days
    return ParquetLog(
        folder,
        schema,
        max_rows=serve.log_rows,
        max_seconds=serve.log_seconds,
        count=count,
        keep=None if days is None else timedelta(days=days),
        journal=accepted,
    )


def prediction_row(served: Served, *, user: str | None, context: Mapping[str, str]) -> dict[str, Any]:
    """A row of PREDICTIONS; the propensity is that of the ranker, the order that it gives is not random.

    Args:
        user: pseudonym of who asked; None: nobody was named.
        context: what the client said about the situation.
    """
    return {
        "request_id": served.request_id,
        "time": served.time,
        "user_id": user,
        "k": served.k,
        "route": served.route,
        "reason": served.reason,
        "degraded": served.degraded,
        "cached": served.cached,
        "version": served.version,
        "narrative_version": served.narrative_version,
        "narrative": served.text,
        "candidates": [candidate.item_id for candidate in served.candidates],
        "sources": [candidate.source for candidate in served.candidates],
        "scores": [float(score) for score in served.scores],
        "items": [candidate.item_id for candidate in served.ranking],
        "margin": served.routed.decision.margin if served.routed else None,
        "num_events": served.num_events,
        "context": list(context.items()),
        "latency_ms": served.latency_ms,
        "stage_ms": list(served.stage_ms.items()),
        **_routed(served.routed),
    }


def _routed(routed: Routed | None) -> dict[str, Any]:
    if routed is None:
        return {"propensity": 1.0}
    request, decision = routed.request, routed.decision
    return {
        "decision": decision.ranker,
        "propensity": decision.propensity,
        "gain": decision.gain,
        "probability": decision.probability,
        "router_version": routed.router_version,
        "student_scores": request.scores.tolist(),
        "num_cold": request.num_cold,
        "wants_query": request.wants_query,
        "wants_explanation": request.wants_explanation,
        "latency_left_ms": request.latency_left_ms,
        "load": request.load,
        "cost_left": request.cost_left,
    }


def event_row(user_id: str, event: Event) -> dict[str, Any]:
    """A row of EVENTS: the columns of a raw log."""
    time: datetime = event.event_time
    return {
        c.USER_ID: user_id,
        c.ITEM_ID: event.item_id,
        c.EVENT_TIME: time,
        c.EVENT_TYPE: event.event_type,
        c.VALUE: event.value,
        c.SESSION_ID: event.session_id,
        c.CONTEXT: list(event.context.items()),
    }
