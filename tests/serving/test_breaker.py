"""The circuit breaker, step by step on a clock of its own."""

import asyncio

import pytest

from raconteur.errors import ServingError, UnaskedError
from serving.path.breaker import Breaker


class Part:
    """Answers or fails as it is told."""

    def __init__(self):
        self.fails = False
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if self.fails:
            raise ServingError("broken")
        return "answer"


@pytest.fixture
def world():
    now, changes = [0.0], []
    breaker = Breaker("part", failures=3, pause_s=5.0, changed=changes.append, clock=lambda: now[0])
    return breaker, Part(), now, changes


def ask(breaker, part):
    return asyncio.run(breaker.call(part))


def fail(breaker, part, times):
    part.fails = True
    for _ in range(times):
        with pytest.raises(ServingError, match="broken"):
            ask(breaker, part)


def test_breaker_opens_after_failures_in_a_row_only(world):
    breaker, part, _, changes = world
    fail(breaker, part, 2)
    part.fails = False
    assert ask(breaker, part) == "answer"
    fail(breaker, part, 2)
    assert (breaker.state, changes) == ("closed", [])
    fail(breaker, part, 1)
    assert (breaker.state, changes) == ("open", [True])


def test_breaker_open_does_not_ask_and_says_so(world):
    breaker, part, now, _ = world
    fail(breaker, part, 3)
    now[0] = 4.9
    with pytest.raises(ServingError, match="part failed 3 times in a row"):
        ask(breaker, part)
    assert part.asked == 3


def test_breaker_after_the_pause_one_success_closes_it(world):
    breaker, part, now, changes = world
    fail(breaker, part, 3)
    now[0], part.fails = 5.0, False
    assert breaker.state == "half-open"
    assert ask(breaker, part) == "answer"
    assert (breaker.state, changes) == ("closed", [True, False])


def test_breaker_failed_trial_starts_the_pause_anew(world):
    breaker, part, now, changes = world
    fail(breaker, part, 3)
    now[0] = 5.0
    fail(breaker, part, 1)
    now[0] = 9.9
    assert (breaker.state, changes) == ("open", [True])


def test_breaker_half_open_lets_one_request_through_at_a_time(world):
    breaker, part, now, _ = world
    fail(breaker, part, 3)
    now[0], part.fails = 5.0, False
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        return await part()

    async def story():
        trial = asyncio.create_task(breaker.call(slow))
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="left alone"):
            await breaker.call(part)
        gate.set()
        return await trial

    assert asyncio.run(story()) == "answer"


def test_breaker_cancelled_trial_leaves_the_next_one_free_to_try(world):
    breaker, part, now, _ = world
    fail(breaker, part, 3)
    now[0], part.fails = 5.0, False

    async def story():
        trial = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        return await breaker.call(part)

    assert asyncio.run(story()) == "answer"


def test_breaker_what_is_no_fault_of_the_part_never_opens_it(world):
    breaker, part, _, changes = world

    async def too_many():
        raise UnaskedError("it takes 52 candidates")

    fail(breaker, part, 2)
    for _ in range(9):
        with pytest.raises(UnaskedError):
            asyncio.run(breaker.call(too_many))
    assert (breaker.state, changes) == ("closed", [])
    fail(breaker, part, 1)  # nor does it count as an answer
    assert breaker.state == "open"
