"""One thread and the bounded number of those who wait for it."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from raconteur.errors import ServingError
from serving.one_thread import BusyError, OneThread

whose = ContextVar("whose", default="nobody")
PATIENT_S = 30.0


async def asking(thread, call):
    with thread.place():
        return await thread.compute(call)


def test_compute_runs_one_call_at_a_time_in_the_order_of_asking():
    together, order = threading.Semaphore(1), []

    def work(number):
        assert together.acquire(blocking=False), "two calls at once"
        order.append(number)
        together.release()
        return number * number

    async def story():
        thread = OneThread("student", max_waiting=20)
        return await asyncio.gather(*(asking(thread, lambda n=n: work(n)) for n in range(20)))

    assert asyncio.run(story()) == [n * n for n in range(20)]
    assert order == list(range(20))


def test_place_beyond_the_bound_is_refused_at_once_and_free_again_after_an_answer():
    counts = []

    async def story():
        gate = threading.Event()
        thread = OneThread("student", max_waiting=3, changed=counts.append)
        waiting = [asyncio.create_task(asking(thread, lambda: gate.wait(PATIENT_S))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="student is busy: 3 requests are waiting; try again"):
            await asking(thread, lambda: None)
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await asking(thread, lambda: "room") == "room"

    asyncio.run(story())
    assert counts == [1, 2, 3, 2, 1, 0, 1, 0]


def test_place_of_one_who_gives_up_or_fails_is_free_again():
    async def story():
        gate = threading.Event()
        thread = OneThread("student", max_waiting=1)
        given_up = asyncio.create_task(asking(thread, lambda: gate.wait(PATIENT_S)))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        gate.set()
        with pytest.raises(ZeroDivisionError):
            await asking(thread, lambda: 1 / 0)
        assert thread.num_waiting == 0

    asyncio.run(story())


def test_compute_takes_the_context_of_each_who_asks_along():
    async def one(thread, name):
        whose.set(name)
        return await asking(thread, whose.get)

    async def story():
        thread = OneThread("student", max_waiting=5)
        return await asyncio.gather(*(one(thread, name) for name in ("ann", "bob", "cyd")))

    assert asyncio.run(story()) == ["ann", "bob", "cyd"]


def test_close_takes_nobody_in_and_lets_those_with_a_place_finish():
    async def story():
        gate = threading.Event()
        thread = OneThread("student", max_waiting=5)
        waiting = [asyncio.create_task(asking(thread, lambda: gate.wait(PATIENT_S))) for _ in range(2)]
        await asyncio.sleep(0)
        thread.close()
        thread.close()
        with pytest.raises(ServingError, match="student is closed"):
            await asking(thread, lambda: None)
        gate.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(story()) == [True, True]
