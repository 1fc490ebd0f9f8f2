"""The recommender over HTTP: plain JSON with an OpenAPI page at /docs, health, and Prometheus metrics.

A plain FastAPI app around a `Service`; Ray Serve runs it, and any ASGI server could. The Open Inference Protocol form
of the same call is in `inference_api`.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from kserve.errors import InvalidInput
from prometheus_client import CONTENT_TYPE_LATEST

from raconteur import __version__
from raconteur.errors import ServingError
from raconteur.types import Candidate
from serving.door.inference import inference_router
from serving.door.schema import (
    EventsAnswer,
    EventsRequest,
    RecommendAnswer,
    RecommendedItem,
    RecommendRequest,
    Versions,
)
from serving.path.service import Service
from serving.path.trace import Served

MAX_BODY_BYTES = 4 * 1024 * 1024


def create_app(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="Raconteur recommender",
        version=__version__,
        description="Ranked items for a user or a raw history, with the path that the answer took.",
        lifespan=lifespan,
    )

    @app.post("/v1/recommendations", tags=["recommend"])
    async def recommendations(request: RecommendRequest) -> RecommendAnswer:
        """The best k items. A user that nobody knows gets popular items (route `cold`)."""
        if request.k > service.config.serve.max_k:
            raise HTTPException(
                422, f"k is {request.k}; at most {service.config.serve.max_k} are allowed (serve.max_k)"
            )
        return answer(await service.recommend(request), titles=service.engine.titles)

    @app.post("/v1/events", status_code=202, tags=["feedback"])
    async def events(request: EventsRequest) -> EventsAnswer:
        """What a user just did: kept for the next training, and seen by the user's next recommendation."""
        return await service.learn(request)

    @app.get("/healthz", tags=["operation"])
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": service.engine.version}

    @app.get("/metrics", tags=["operation"])
    async def metrics() -> Response:
        return Response(service.metrics.text(version=service.engine.version), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def front() -> RedirectResponse:
        return RedirectResponse("/docs")

    app.include_router(inference_router(service))
    app.add_exception_handler(InvalidInput, _answer_400)
    app.add_exception_handler(ServingError, _answer_503)
    app.middleware("http")(_bounded_and_counted(service))
    return app


def answer(served: Served, *, titles: Mapping[str, str]) -> RecommendAnswer:
    """What a client gets to see of a served request."""

    def item(candidate: Candidate) -> RecommendedItem:
        return RecommendedItem(
            item_id=candidate.item_id,
            title=titles.get(candidate.item_id, candidate.item_id),
            score=None if math.isnan(candidate.score) else candidate.score,
            source=candidate.source,
        )

    return RecommendAnswer(
        request_id=served.request_id,
        user_id=served.user_id,
        items=[item(candidate) for candidate in served.ranking],
        route=served.route,
        reason=served.reason,
        degraded=served.degraded,
        repairs=list(served.repairs),
        versions=Versions(model=served.version, narrative=served.narrative_version, catalogue=served.catalogue_version),
        stage_ms={stage: round(spent_ms, 3) for stage, spent_ms in served.stage_ms.items()},
        latency_ms=round(served.latency_ms, 3),
    )


def _bounded_and_counted(service: Service) -> Callable[..., Awaitable[Response]]:
    async def middleware(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            message = f"the body has {length} bytes; at most {MAX_BODY_BYTES} are allowed"
            response: Response = JSONResponse({"error": message}, status_code=413)
        else:
            response = await call_next(request)
        route = request.scope.get("route")
        # The pattern of the route, not the path that a client made up: labels must stay few.
        service.metrics.count_request(getattr(route, "path", "other"), response.status_code)
        return response

    return middleware


async def _answer_400(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _answer_503(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)
