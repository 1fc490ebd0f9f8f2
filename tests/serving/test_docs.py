"""The OpenAPI page: complete without a network, and under a policy that allows no inline script."""

import asyncio
import re
import shutil
import subprocess
import threading
import time

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from serving.door.docs import add_docs
from serving.door.headers import SecurityHeaders
from serving.schema import RecommendRequest

FOREIGN = re.compile(r"""(?:https?:)?//[\w.-]+""")


@pytest.fixture
def app():
    app = FastAPI(title="Raconteur <b>recommender</b>", docs_url=None, redoc_url=None)

    @app.post("/v1/recommendations")
    async def recommendations(request: RecommendRequest) -> int:
        return request.k

    add_docs(app)
    app.add_middleware(SecurityHeaders)
    return app


@pytest.fixture
def get(app):
    def run(path):
        async def once():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                return await client.get(path)

        return asyncio.run(once())

    return run


def parts_of(page):
    return re.findall(r'(?:src|href)="([^"]+)"', page)


def test_page_names_no_other_host_and_has_no_inline_script(get):
    page = get("/docs").text
    assert not FOREIGN.search(page)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert not re.search(r"<style|\bstyle=|\bon\w+=", page)
    assert "Raconteur &lt;b&gt;recommender" in page


def test_page_every_part_is_served_here(get):
    parts = [part for part in parts_of(get("/docs").text) if not part.startswith("data:")]
    assert len(parts) == 3
    for part in parts:
        answer = get(f"/{part}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css" if part.endswith(".css") else "text/javascript")


def test_parts_that_load_others_load_them_from_here(get):
    """The bundle also names other hosts, in error texts and in names of schemas; that it asks none is seen below."""
    start = get("/docs/start.js").text
    assert not FOREIGN.search(start)
    assert 'url: "openapi.json"' in start
    assert "validatorUrl: null" in start  # else a badge sends the schema's address to swagger.io
    style = get("/docs/assets/swagger-ui.css").text
    loaded = re.findall(r"""(?:url\(|@import)\s*["']?(.{5})""", style)
    assert loaded
    assert set(loaded) == {"data:"}


def test_schema_is_3_1_and_says_how_a_key_is_sent(get):
    schema = get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert schema["security"] == [{}, {"bearer": []}, {"header": []}]
    assert schema["components"]["securitySchemes"]["header"]["name"] == "x-api-key"
    assert "RecommendRequest" in schema["components"]["schemas"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_page_is_drawn_by_a_browser_that_reaches_no_other_host(app, free_ports, tmp_path):
    [port] = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        drawn = subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
                *("--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
                *("--virtual-time-budget=20000", "--dump-dom"),
                f"http://127.0.0.1:{port}/docs",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    assert "/v1/recommendations" in drawn.stdout
    assert "RecommendRequest" in drawn.stdout
    assert "Failed to load API definition" not in drawn.stdout
    # Whatever is asked of another host, or would run inline, is refused by the policy and told here.
    assert "Content Security Policy" not in drawn.stderr
