"""Rates, bodies and requests in work: the bucket by hand, the middlewares around small real apps, one real server."""

import asyncio
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from waiting import Clock

from raconteur.keys import add_key, new_key
from raconteur.scopes import Scope
from serving.door.access import Access, AskForKey
from serving.door.limits import Buckets, LimitBody, LimitWork
from serving.door.permissions import is_shed


def test_bucket_starts_full_and_fills_at_its_rate():
    clock = Clock()
    buckets = Buckets(clock)

    def take():
        return buckets.take("app", rate_per_s=2.0, burst=3)

    assert [take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]  # three at once, the next one in 1 / 2 s
    clock.now_s += 0.25
    assert take() == 0.25  # half a request is there
    clock.now_s += 0.25
    assert [take(), take()] == [0.0, 0.5]
    clock.now_s += 100.0
    assert [take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]  # a long pause gives no more than the burst


def test_bucket_of_each_name_is_its_own_and_follows_new_limits():
    buckets = Buckets(Clock())
    assert buckets.take("a", rate_per_s=1.0, burst=1) == 0.0
    assert buckets.take("a", rate_per_s=1.0, burst=1) == 1.0
    assert buckets.take("b", rate_per_s=1.0, burst=1) == 0.0
    assert buckets.take("a", rate_per_s=4.0, burst=1) == 0.25


def test_buckets_past_the_bound_forget_the_one_that_rested_longest():
    buckets = Buckets(Clock(), max_buckets=2)
    for name in ("a", "b", "a", "c"):
        buckets.take(name, rate_per_s=1.0, burst=5)
    waits = {name: buckets.take(name, rate_per_s=1.0, burst=1) for name in ("a", "c", "b")}
    assert waits == {"a": 0.0, "c": 0.0, "b": 0.0}
    assert [buckets.take(name, rate_per_s=1.0, burst=1) for name in ("c", "b", "a")] == [1.0, 1.0, 0.0]


@given(
    st.lists(st.floats(0.0, 10.0), max_size=60),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(1, 8),
)
def test_bucket_never_gives_more_than_burst_and_rate(pauses_s, rate_per_s, burst):
    clock = Clock()
    buckets = Buckets(clock)
    given_ = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        given_ += buckets.take("app", rate_per_s=rate_per_s, burst=burst) == 0.0
    assert given_ <= burst + rate_per_s * sum(pauses_s) + 1e-6


@pytest.fixture
def echo():
    """Tells how many bytes came; a small real app, with FastAPI's own way of reading JSON beside the raw one."""
    app = FastAPI()
    app.state.num_calls = 0

    @app.post("/bytes")
    async def count(request: Request) -> int:
        app.state.num_calls += 1
        return len(await request.body())

    @app.post("/json")
    async def parse(body: list[int]) -> int:
        app.state.num_calls += 1
        return len(body)

    @app.get("/metrics")
    async def metrics() -> str:
        return "ok"

    return app


def call(app, method, path, **arguments):
    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(once())


async def chunks(*parts):
    for part in parts:
        yield part


@pytest.mark.parametrize("path", ["/bytes", "/json"])
def test_body_too_long_is_413_with_and_without_a_length(echo, path):
    app = LimitBody(echo, max_bytes=10)
    for content in (b"[" + b" " * 10, chunks(b"[     ", b"     "), chunks(*[b" "] * 11)):
        answer = call(app, "POST", path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json() == {"error": "the body is too long; at most 10 bytes are allowed"}
    assert echo.state.num_calls == 0


def test_body_that_lies_about_its_length_is_counted(echo):
    app = LimitBody(echo, max_bytes=10)
    for length in ("3", "-1", "\xb2", "many"):
        headers = {b"content-length": length.encode("latin-1")}
        assert call(app, "POST", "/bytes", content=chunks(b"12345678901"), headers=headers).status_code == 413
    assert call(app, "POST", "/bytes", content=chunks(b"1"), headers={"content-length": "9" * 5000}).status_code == 413


def test_body_within_the_limit_arrives_whole(echo):
    app = LimitBody(echo, max_bytes=10)
    assert call(app, "POST", "/bytes", content=b"1234567890").json() == 10
    assert call(app, "POST", "/bytes", content=chunks(b"12345", b"", b"67890")).json() == 10
    assert call(app, "POST", "/json", json=[1, 2, 3]).json() == 3
    assert call(app, "POST", "/bytes").json() == 0
    assert call(app, "GET", "/metrics").json() == "ok"


def test_body_that_does_not_end_is_408(echo):
    async def stalled():
        yield b"12"
        await asyncio.sleep(20)

    answer = call(LimitBody(echo, within_s=0.05), "POST", "/bytes", content=stalled())
    assert answer.status_code == 408
    assert answer.json() == {"error": "the body did not come within 0.05 s"}
    assert echo.state.num_calls == 0


class Slow:
    """An app whose requests stay in work until the test lets them go."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.num_started = 0

    async def __call__(self, scope, receive, send):
        self.num_started += 1
        if scope["path"] != "/metrics":
            await self.go_on.wait()
        if scope["path"] == "/v1/events":
            raise OSError("broken")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def test_work_past_the_limit_is_429_at_once_and_places_come_free_again():
    async def scenario():
        slow = Slow()
        shed = []
        app = LimitWork(slow, max_waiting=2, is_shed=is_shed, count=shed.append)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            in_work = [asyncio.create_task(client.post(path)) for path in ("/v1/recommendations", "/v1/events")]
            while slow.num_started < 2:
                await asyncio.sleep(0)
            async with asyncio.timeout(20):  # of one that is not refused nobody would let go
                refused = await client.post("/v1/recommendations")
            spared = await client.get("/metrics")
            slow.go_on.set()
            ended = [answer.status_code for answer in await asyncio.gather(*in_work)]
            after = [(await client.post("/v1/recommendations")).status_code for _ in range(3)]
        return refused, spared, ended, after, shed

    refused, spared, ended, after, shed = asyncio.run(scenario())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json() == {"error": "2 requests are in work, which is the limit; try again in a moment"}
    assert shed == ["queue"]
    assert spared.status_code == 200
    assert ended == [200, 500]
    assert after == [200, 200, 200]  # the one that failed gave its place back too


@pytest.fixture
def door(tmp_path, free_ports):
    """A real uvicorn with keys, work and body limits before a small app; gives its port, a token and what was shed."""
    key, token = new_key("app", [Scope.RECOMMEND], rate_per_s=0.001, burst=3)
    add_key(tmp_path / "keys.json", key)
    inner = FastAPI()

    @inner.post("/v1/recommendations")
    async def count(request: Request) -> tuple[str, int]:
        return request.state.key, len(await request.body())

    shed = []
    app = LimitBody(inner, max_bytes=1000, within_s=0.5)
    app = LimitWork(app, max_waiting=1, is_shed=is_shed, count=shed.append)
    app = AskForKey(app, access=Access(tmp_path / "keys.json", keys_needed=True), count=shed.append)
    [port] = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port, token, shed
    server.should_exit = True
    thread.join(timeout=30)


def test_real_server_chunked_body_and_rate(door):
    port, token, shed = door
    url, headers = f"http://127.0.0.1:{port}/v1/recommendations", {"x-api-key": token}

    def parts(count):
        yield from [b"x" * 100] * count

    assert httpx.post(url, content=parts(11)).status_code == 401
    assert httpx.post(url, content=parts(10), headers=headers).json() == ["app", 1000]
    assert httpx.post(url, content=parts(11), headers=headers).status_code == 413
    assert httpx.post(url, content=b"", headers=headers).status_code == 200
    refused = httpx.post(url, content=b"", headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1000")
    assert shed == ["rate"]


def test_real_server_stalled_body_holds_its_place_for_a_while_only(door):
    port, token, _ = door
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stalled:
        head = f"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: 9\r\n\r\n1234"
        stalled.sendall(head.encode())
        answer = b"".join(iter(lambda: stalled.recv(4096), b""))  # ends when the server closes
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    url = f"http://127.0.0.1:{port}/v1/recommendations"
    assert httpx.post(url, headers={"x-api-key": token}).status_code == 200
