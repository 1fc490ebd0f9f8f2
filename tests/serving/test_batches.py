"""Who computes a question: the thread, or, a lone one to a quick part, the event loop that asks."""

import asyncio
import threading

import pytest

from raconteur.errors import ServingError
from serving import batches
from serving.batches import Batches


class Doubles:
    """Answers twice the number; notes the thread and the size of each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, questions):
        self.calls.append((threading.current_thread() is threading.main_thread(), len(questions)))
        if None in questions:
            raise ValueError("no number")
        return [2 * question for question in questions]


@pytest.fixture
def always_quick(monkeypatch):
    monkeypatch.setattr(batches, "QUICK_S", 60.0)


@pytest.fixture
def never_quick(monkeypatch):
    monkeypatch.setattr(batches, "QUICK_S", -1.0)


def told(story):
    part = Doubles()

    async def run():
        asked = Batches("doubles", part)
        try:
            return await story(asked)
        finally:
            asked.close()

    return asyncio.run(run()), part.calls


async def one_by_one(asked):
    return [await asked.ask(number, timeout_s=5) for number in (1, 2, 3)]


async def at_once(asked):
    return await asyncio.gather(*(asked.ask(number, timeout_s=5) for number in (1, 2, 3)))


def test_lone_questions_to_a_quick_part_stay_in_the_event_loop(always_quick):
    assert told(one_by_one) == ([2, 4, 6], [(False, 1), (True, 1), (True, 1)])  # the first one shows how quick it is


def test_lone_questions_to_a_slow_part_go_to_its_thread(never_quick):
    assert told(one_by_one) == ([2, 4, 6], [(False, 1)] * 3)


def test_questions_that_come_together_go_to_the_thread_together(never_quick):
    assert told(at_once) == ([2, 4, 6], [(False, 3)])


@pytest.mark.parametrize("quick", ["always_quick", "never_quick"])
def test_failing_part_is_a_serving_error_wherever_it_computes(quick, request):
    request.getfixturevalue(quick)

    async def story(asked):
        await asked.ask(1, timeout_s=5)
        with pytest.raises(ServingError, match="doubles failed: ValueError: no number"):
            await asked.ask(None, timeout_s=5)
        return await asked.ask(2, timeout_s=5)

    assert told(story)[0] == 4
