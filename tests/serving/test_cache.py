"""Caches: full keys, age, bounds, and one computation for equal questions."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import Clock

from serving.path.cache import Cache


class Maker:
    """Counts how often it is asked; each value is new."""

    def __init__(self, failures=0):
        self.calls = 0
        self.failures = failures

    async def __call__(self):
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.calls <= self.failures:
            raise ValueError("failed")
        return [self.calls]


def open_cache(**settings):
    counted = []
    cache = Cache(**{"max_entries": 2, "ttl_s": 10.0, "count": counted.append, **settings})
    return cache, counted


def test_get_second_time_is_the_same_value_and_a_hit():
    cache, counted = open_cache()
    make = Maker()

    async def twice():
        return [await cache.get("a", make) for _ in range(2)]

    (first, was_hit), (second, is_hit) = asyncio.run(twice())
    assert first is second
    assert (was_hit, is_hit, make.calls, counted) == (False, True, 1, ["miss", "hit"])


def test_get_equal_questions_at_once_are_computed_once():
    cache, counted = open_cache(max_entries=0)
    make = Maker()

    async def together():
        return await asyncio.gather(*(cache.get("a", make) for _ in range(5)))

    values = asyncio.run(together())
    assert [value for value, _ in values] == [[1]] * 5
    assert (make.calls, counted) == (1, ["miss", *["shared"] * 4])


def test_get_failure_reaches_all_who_wait_and_is_not_kept():
    cache, _ = open_cache()
    make = Maker(failures=1)

    async def story():
        failed = await asyncio.gather(*(cache.get("a", make) for _ in range(3)), return_exceptions=True)
        return failed, await cache.get("a", make)

    failed, (value, _) = asyncio.run(story())
    assert [type(one) for one in failed] == [ValueError] * 3
    assert value == [2]


def test_get_one_who_gives_up_does_not_end_it_for_the_others():
    cache, _ = open_cache()
    make = Maker()

    async def story():
        waiting = asyncio.create_task(cache.get("a", make))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await cache.get("a", make)
        return await waiting

    assert asyncio.run(story())[0] == [1]


def test_find_entry_at_its_age_is_gone():
    clock = Clock()
    cache, _ = open_cache(clock=clock)
    cache.keep("a", "value")
    clock.now_s += 9.99
    assert cache.find("a") == "value"
    clock.now_s += 0.01
    assert cache.find("a") is None
    assert len(cache) == 0


def test_keep_over_the_bound_drops_the_least_recently_used():
    cache, counted = open_cache()
    cache.keep("a", 1)
    cache.keep("b", 2)
    cache.find("a")
    cache.keep("c", 3)
    assert [cache.find(key) for key in "abc"] == [1, None, 3]
    assert counted == ["evicted"]


def test_keep_entries_that_nobody_asked_for_again_give_their_memory_back():
    clock = Clock()
    cache, counted = open_cache(max_entries=100, clock=clock)
    for number in range(50):
        cache.keep(number, "value")
    clock.now_s += 10.0
    cache.keep("young", "value")
    assert (len(cache), counted) == (1, [])


def test_get_value_that_may_not_be_kept_is_made_again():
    cache, _ = open_cache()
    make = Maker()

    async def twice():
        return [(await cache.get("a", make, keeps=lambda _: False))[0] for _ in range(2)]

    assert asyncio.run(twice()) == [[1], [2]]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=40), st.integers(0, 4))
def test_cache_never_exceeds_its_bound_and_never_gives_another_keys_value(steps, bound):
    cache, _ = open_cache(max_entries=bound)
    newest = {}
    for key, value in steps:
        cache.keep(key, (key, value))
        newest[key] = (key, value)
        assert len(cache) <= bound
    for key in newest:
        assert cache.find(key) in (None, newest[key])
