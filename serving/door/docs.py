"""The OpenAPI page at /docs, without a network: Swagger UI comes from the package fastapi-offline, which bundles it.

FastAPI's own page loads Swagger UI from a CDN and starts it by an inline script; this one does neither, so that it
works behind a firewall and under the policy of `headers`.
"""

import html
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS = Path(fastapi_offline.__file__).parent / "static"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<script src="docs/assets/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body><div id="docs"></div></body>
</html>
"""
# Addresses are relative, so that the page also works below a path prefix of a proxy.
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  validatorUrl: null,
  deepLinking: true,
});
"""
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token of `raconteur keys add`"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "the same token"},
}


def add_docs(app: FastAPI) -> None:
    """
    Args:
        app: made with `docs_url=None, redoc_url=None`, since FastAPI's pages would come first.
    """
    assert app.docs_url is None
    assert app.redoc_url is None
    _describe_keys(app)
    app.mount("/docs/assets", StaticFiles(directory=ASSETS), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE.format(title=html.escape(app.title)))

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(START, media_type="text/javascript")


def _describe_keys(app: FastAPI) -> None:
    """Says in the schema how a key is sent, which gives the page its field for one; loopback needs none."""
    without_keys = app.openapi

    def openapi() -> dict[str, Any]:
        schema = without_keys()
        schema.setdefault("components", {})["securitySchemes"] = SCHEMES
        schema["security"] = [{}, *({name: []} for name in SCHEMES)]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
