"""The second process that retrieves: it says what this one would say, and nothing fails where it does not answer."""

import asyncio
import pickle
import signal
import subprocess
import sys

import psutil
import pytest
from serving_world import write_version
from waiting import until

from raconteur.config.schema import RouteConfig
from raconteur.guard.rules import Wanted
from serving.follow import Loaded
from serving.path import beside
from serving.path.beside import Retrieval, Source
from serving.path.stock import Quest, Wish, retrieve

ANYTHING = Wish(Wanted())
QUEST = Quest(("i1",), {"i1"}, ANYTHING, 3)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "PAUSE_S", 0.05)
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    return Source(tmp_path / "models", tmp_path / "features", RouteConfig())


def told(source, story):
    """Runs a story with a retrieval whose second process is ready."""

    async def run():
        retrieval = Retrieval(source)
        retrieval.start()
        try:
            await until(lambda: retrieval.ready)
            return await story(retrieval, source.open().current)
        finally:
            await retrieval.close()

    return asyncio.run(run())


def second_process():
    [process] = [one for one in psutil.Process().children() if beside.__name__ in one.cmdline()]
    return process


def without_parts(stock):
    """A stock with which nothing can be retrieved here."""
    return Loaded(stock.version, None)


def test_second_process_finds_what_this_one_finds(source):
    async def story(retrieval, stock):
        quests = [QUEST, Quest((), (), ANYTHING, 50), Quest(("i2",), (), Wish(Wanted(), "space", ("i4", "i1")), 2)]
        found = [await retrieval.find(without_parts(stock), quest, alone=False) for quest in quests]
        return found, [retrieve(stock.parts, quest) for quest in quests]

    there, here = told(source, story)
    assert there == here


def test_many_at_once_each_get_their_own_answer(source):
    async def story(retrieval, stock):
        quests = [Quest((), (), ANYTHING, 1 + number % 4) for number in range(40)]
        found = await asyncio.gather(*(retrieval.find(stock, quest, alone=False) for quest in quests))
        return [len(one.candidates) for one in found]

    assert told(source, story) == [1 + number % 4 for number in range(40)]


def test_lone_request_stays_here(source):
    async def story(retrieval, stock):
        with pytest.raises(AttributeError):
            await retrieval.find(without_parts(stock), QUEST, alone=True)

    told(source, story)


def test_other_version_is_answered_here(source):
    async def story(retrieval, stock):
        return await retrieval.find(Loaded("v2", stock.parts), QUEST, alone=False), retrieve(stock.parts, QUEST)

    there, here = told(source, story)
    assert there == here


def test_killed_second_process_fails_nobody_and_comes_back(source):
    async def story(retrieval, stock):
        before = second_process()
        before.send_signal(signal.SIGSTOP)
        asked = [asyncio.create_task(retrieval.find(stock, QUEST, alone=False)) for _ in range(12)]
        await asyncio.sleep(0)
        before.kill()
        found = await asyncio.gather(*asked)
        await until(lambda: retrieval.ready and second_process() != before)
        return found, await retrieval.find(without_parts(stock), QUEST, alone=False), retrieve(stock.parts, QUEST)

    found, after, here = told(source, story)
    assert [*found, after] == [here] * 13


def test_hanging_second_process_is_replaced(source, monkeypatch):
    monkeypatch.setattr(beside, "WAIT_S", 0.05)
    monkeypatch.setattr(beside, "HANG_S", 0.2)

    async def story(retrieval, stock):
        before = second_process()
        before.send_signal(signal.SIGSTOP)
        found = await asyncio.gather(*(retrieval.find(stock, QUEST, alone=False) for _ in range(20)))
        await asyncio.sleep(0.3)
        found.append(await retrieval.find(stock, QUEST, alone=False))
        await until(lambda: retrieval.ready and second_process() != before)
        return found, retrieve(stock.parts, QUEST)

    found, here = told(source, story)
    assert found == [here] * 21


def test_burst_after_a_pause_is_no_hang(source, monkeypatch):
    monkeypatch.setattr(beside, "HANG_S", 0.1)

    async def story(retrieval, stock):
        before = second_process()
        await retrieval.find(stock, QUEST, alone=False)
        await asyncio.sleep(0.3)
        await asyncio.gather(*(retrieval.find(stock, QUEST, alone=False) for _ in range(20)))
        return retrieval.ready and second_process() == before

    assert told(source, story)


def test_second_process_that_cannot_start_is_tried_again(source, monkeypatch):
    async def story():
        retrieval, stock = Retrieval(source), source.open().current
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "no such program")
            retrieval.start()
            await asyncio.sleep(0.2)
            found = await retrieval.find(stock, QUEST, alone=False)
        await until(lambda: retrieval.ready)
        await retrieval.close()
        return found, retrieve(stock.parts, QUEST)

    there, here = asyncio.run(story())
    assert there == here


def test_second_process_ends_with_the_one_that_asks(source, tmp_path):
    program = """
import asyncio, pickle, sys
from serving.path.beside import Retrieval
async def run():
    retrieval = Retrieval(pickle.load(open(sys.argv[1], "rb")))
    retrieval.start()
    while not retrieval.ready:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(run())
"""
    (tmp_path / "source").write_bytes(pickle.dumps(source))
    command = [sys.executable, "-c", program, str(tmp_path / "source")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as asking:
        assert asking.stdout.readline() == b"ready\n"
        [second] = [one for one in psutil.Process(asking.pid).children() if beside.__name__ in one.cmdline()]
        asking.kill()
        second.wait(timeout=30)
