"""Headers of every kind of answer, and failures that show nothing of the inside."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import HTMLResponse

from raconteur.errors import ConfigError
from serving.door.access import Access, AskForKey
from serving.door.headers import DATA_POLICY, PAGE_POLICY, SecurityHeaders
from serving.door.limits import LimitBody
from serving.door.refusals import AnswerFailures


@pytest.fixture
def call(tmp_path):
    inner = FastAPI(docs_url=None, redoc_url=None)

    @inner.get("/console", response_class=HTMLResponse)
    async def page() -> str:
        return "<p>hello</p>"

    @inner.get("/docs/strict", response_class=HTMLResponse)
    async def strict(response: Response) -> str:
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return "<p>hello</p>"

    @inner.post("/v1/recommendations")
    async def fails(number: int) -> int:
        if number == 4:
            raise HTTPException(404, "no such number")
        raise ConfigError("the password is hunter2")

    @inner.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    inner.add_middleware(LimitBody, max_bytes=10)
    inner.add_middleware(AskForKey, access=Access(tmp_path / "keys.json", keys_needed=False), count=print)
    inner.add_middleware(AnswerFailures)
    inner.add_middleware(SecurityHeaders)  # the last one added is the outermost

    def send(method, path, **arguments):
        async def once():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(inner), base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(once())

    return send


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("GET", "/console", {}, 200),
        ("GET", "/v2/health/ready", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/v1/recommendations", {}, 405),
        ("POST", "/v1/recommendations", {}, 422),
        ("POST", "/v1/recommendations?number=4", {}, 404),
        ("POST", "/v1/recommendations?number=5", {}, 500),
        ("POST", "/v1/recommendations", {"content": b"x" * 11}, 413),
    ],
)
def test_headers_on_answers_refusals_and_failures(call, method, path, arguments, status):
    answer = call(method, path, **arguments)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers.get("cache-control") == ("no-store" if path.startswith(("/v1", "/v2")) else None)


def test_headers_on_answers_about_keys(call, tmp_path):
    (tmp_path / "keys.json").write_text('{"keys": []}')
    refused = call("POST", "/v1/recommendations?number=4")
    assert (refused.status_code, refused.headers["x-frame-options"]) == (401, "DENY")
    assert refused.headers["cache-control"] == "no-store"


def test_headers_policy_lets_a_page_load_its_own_parts_and_data_nothing(call):
    policy = call("GET", "/console").headers["content-security-policy"]
    assert policy == PAGE_POLICY
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy  # so that default-src holds for scripts
    assert call("GET", "/v2/health/ready").headers["content-security-policy"] == DATA_POLICY


def test_headers_a_stricter_policy_of_an_endpoint_stays(call):
    assert call("GET", "/docs/strict").headers["content-security-policy"] == "default-src 'none'"


def test_failure_that_nobody_foresaw_shows_nothing_and_is_logged(call, caplog):
    answer = call("POST", "/v1/recommendations?number=5")
    assert answer.json() == {"error": "the request failed for a reason that the service's log holds"}
    [record] = [record for record in caplog.records if record.name == "serving.door.refusals"]
    assert record.message == "POST /v1/recommendations failed"
    assert "hunter2" in str(record.exc_info[1])


def test_failure_after_the_answer_began_cuts_it_off():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("gone")

    async def once():
        transport = httpx.ASGITransport(AnswerFailures(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.get("/")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(once())
