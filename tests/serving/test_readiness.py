"""Readiness: when the service says that it may be asked, and how it lets go of its last requests."""

import asyncio

import httpx
import pytest

from raconteur.errors import ServingError
from serving.door.readiness import OnlyWhileReady, Readiness


def opened():
    readiness = Readiness()
    readiness.open()
    return readiness


def test_ready_only_between_open_and_drain():
    async def story():
        readiness = Readiness()
        seen = [readiness.ready]
        readiness.open()
        seen.append(readiness.ready)
        await readiness.drain(1.0)
        readiness.open()  # too late
        return [*seen, readiness.ready]

    assert asyncio.run(story()) == [False, True, False]


def test_drain_waits_for_what_is_in_work_and_refuses_what_comes():
    async def story():
        readiness, finished = opened(), []

        async def work(name, until):
            with readiness.request():
                await until.wait()
                finished.append(name)

        go = asyncio.Event()
        first, second = (asyncio.create_task(work(name, go)) for name in ("first", "second"))
        await asyncio.sleep(0)
        draining = asyncio.create_task(readiness.drain(20.0))
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="is draining"):
            await work("late", go)
        assert not draining.done()
        go.set()
        left = await draining
        await asyncio.gather(first, second)
        return finished, left

    assert asyncio.run(story()) == (["first", "second"], 0)


def test_drain_ends_when_its_time_is_up_and_says_what_is_left():
    async def story():
        readiness = opened()
        with readiness.request(), readiness.request():
            return await readiness.drain(0.01)

    assert asyncio.run(story()) == 2


def test_http_answers_503_with_when_to_come_back_while_health_is_answered_as_ever():
    readiness = Readiness()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(readiness.num_in_work).encode()})

    turned_away = []
    door = OnlyWhileReady(
        app,
        readiness=readiness,
        is_work=lambda method, path: (method, path) == ("POST", "/work"),
        count=turned_away.append,
    )

    async def story():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://127.0.0.1") as client:
            before = await client.post("/work")
            health = await client.get("/health")
            readiness.open()
            during = await client.post("/work")
            await readiness.drain(1.0)
            return before, health, during, await client.post("/work")

    before, health, during, after = asyncio.run(story())
    assert (before.status_code, health.status_code, during.status_code, after.status_code) == (503, 200, 200, 503)
    assert (during.text, readiness.num_in_work) == ("1", 0)
    assert turned_away == ["draining", "draining"]
    assert "is draining" in after.json()["error"]
    assert (after.headers["retry-after"], after.headers["connection"]) == ("2", "close")
