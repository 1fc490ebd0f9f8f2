"""The recommender over HTTP: plain JSON with an OpenAPI page at /docs, the console, health, and Prometheus metrics.

A plain FastAPI app around a `Service`; Ray Serve runs it, and any ASGI server could. The Open Inference Protocol form
of the same call is in `inference`, its gRPC form in `inference_grpc`. A request goes through, from the outside:

    Observed           counted and traced, whatever comes of it
    SecurityHeaders    on every answer
    AnswerFailures     what nobody foresaw: 500 without a trace of it
    AskForKey          who may do what, and how often
    OnlyWhileReady     nothing new while the service ends
    LimitWork          one more than fit: 429
    LimitBody          whole and not too long
    TrustedHost        on loopback: asked by a name of this machine
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from kserve.errors import InvalidInput
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import State
from starlette.middleware.trustedhost import TrustedHostMiddleware

from raconteur import __version__
from raconteur.errors import ServingError
from raconteur.keys import keys_path
from serving.door.access import Access, AskForKey, is_loopback
from serving.door.answer import answer
from serving.door.console_api import console_router
from serving.door.docs import add_docs
from serving.door.headers import SecurityHeaders
from serving.door.inference import inference_router
from serving.door.inference_grpc import grpc_server
from serving.door.inspector import Inspector
from serving.door.limits import LimitBody, LimitWork
from serving.door.observed import Observed
from serving.door.permissions import is_shed
from serving.door.readiness import OnlyWhileReady, Readiness
from serving.door.refusals import AnswerFailures, answer_unreadable
from serving.path.service import RepeatedError, Service
from serving.schema import EventsAnswer, EventsRequest, RecommendAnswer, RecommendRequest


def create_app(service: Service, readiness: Readiness | None = None, *, with_grpc: bool = False) -> FastAPI:
    """
    Args:
        readiness: what health says; it is opened when the app has started.
        with_grpc: also listen on `serve.grpc_port`.
    """
    readiness = readiness or Readiness()
    serve, metrics = service.config.serve, service.metrics
    access = Access(keys_path(service.config.workdir), keys_needed=not is_loopback(serve.host))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            if with_grpc:
                address = f"{serve.host}:{serve.grpc_port}"
                async with grpc_server(service, readiness, address=address, decide=access.decide):
                    readiness.open()
                    yield
            else:
                readiness.open()
                yield
        finally:
            await service.close()

    app = FastAPI(
        title="Raconteur recommender",
        version=__version__,
        description="Ranked items for a user or a raw history, with the path that the answer took.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )

    @app.post("/v1/recommendations", tags=["recommend"], response_model=RecommendAnswer, responses=_refusals(409, 422))
    async def recommendations(request: RecommendRequest, http: Request) -> Response:
        """The best k items. A user that nobody knows gets popular items (route `cold`)."""
        if request.k > serve.max_k:
            raise HTTPException(422, f"k is {request.k}; at most {serve.max_k} are allowed (serve.max_k)")
        served = await service.recommend(request, caller=_caller(http.state))
        # As bytes: checked when it was made, and checking it again would cost as much as making it.
        made = answer(served)
        return Response(made.model_dump_json(), media_type="application/json")

    @app.post("/v1/events", status_code=202, tags=["feedback"], responses=_refusals(409, 422))
    async def events(request: EventsRequest, http: Request) -> EventsAnswer:
        """What a user just did: kept for the next training, and seen by the user's next recommendation."""
        return await service.learn(request, caller=_caller(http.state))

    @app.get("/healthz", tags=["operation"])
    async def health() -> dict[str, str]:
        return {"status": readiness.state, "version": service.engine.version}

    @app.get("/metrics", tags=["operation"], response_class=Response)
    async def page_of_metrics() -> Response:
        metrics.set_queue(in_work=readiness.num_in_work)
        return Response(metrics.text(version=service.engine.version), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def front() -> RedirectResponse:
        return RedirectResponse("/console")

    app.include_router(inference_router(service, readiness))
    app.include_router(console_router(Inspector(service)))
    add_docs(app)
    app.add_exception_handler(RequestValidationError, answer_unreadable)
    app.add_exception_handler(InvalidInput, _answer_with(400))
    app.add_exception_handler(RepeatedError, _answer_with(409))
    app.add_exception_handler(ServingError, _answer_with(503))
    # The last one that is added is the outermost.
    if is_loopback(serve.host):  # without keys, a page of elsewhere could ask through a name that comes to mean us
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", serve.host, "[::1]"])
    app.add_middleware(LimitBody)
    app.add_middleware(LimitWork, max_waiting=serve.max_waiting, is_shed=is_shed, count=metrics.count_shed)
    app.add_middleware(OnlyWhileReady, readiness=readiness, is_work=is_shed, count=metrics.count_shed)
    app.add_middleware(AskForKey, access=access, count=metrics.count_shed)
    app.add_middleware(AnswerFailures)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _caller(state: State) -> str:
    """Whose request ids are told apart: the key's name."""
    return getattr(state, "key", None) or ""


def _refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    said = {401: "no key that fits", 403: "the key lacks a scope", 408: "the body came too slowly"}
    said |= {409: "the request id stood for another request", 413: "the body is too long", 422: "not understood"}
    said |= {429: "too many requests; Retry-After says when", 503: "not now; Retry-After says when"}
    wanted = (401, 403, 408, 413, 429, 503, *(status for status in statuses if status != 422))
    return {status: {"description": said[status]} for status in wanted}


def _answer_with(status: int):  # a handler as Starlette wants it
    headers = {"Retry-After": "1"} if status == 503 else None

    async def handler(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=status, headers=headers)

    return handler
