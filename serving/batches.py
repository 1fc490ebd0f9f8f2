"""Questions to one computing thread: those that arrive while it works go together in its next call.

A lone question is computed at once, and in the event loop itself where the part is quick: the way to the thread and
back takes a millisecond. Batches grow with the load, and nobody waits for company.
"""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from raconteur.errors import ServingError
from serving.one_thread import OneThread

MAX_WAITING = 64
MAX_BATCH = 16  # of one call: more would make those behind it wait longer and save little
QUICK_S = 0.003  # a part is quick if its last call took no longer; so much the event loop can spare

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer]


class Batches(Generic[Question, Answer]):
    """
    Args:
        name: of the part, for messages and its thread.
        call: answers a batch, one answer a question, in their order.
        key: only questions with the same key go together.
        max_waiting: questions that wait or are worked on; one more is refused at once.
        changed: told how many those are, whenever that changes.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[Question]], Sequence[Answer]],
        *,
        key: Callable[[Question], Hashable] = lambda _: None,
        max_waiting: int = MAX_WAITING,
        changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._call = call
        self._key = key
        self._thread = OneThread(name, max_waiting=max_waiting, changed=changed)
        self._waiting: list[_Asked[Question, Answer]] = []  # oldest first
        self._calls: asyncio.Task[None] | None = None
        self._last_s = math.inf  # how long the last call took

    @property
    def num_waiting(self) -> int:
        return self._thread.num_waiting

    async def ask(self, question: Question, *, timeout_s: float | None) -> Answer:
        """
        Args:
            timeout_s: None: as long as the asker stays.

        Raises:
            BusyError: too many wait.
            ServingError: no answer in time, or the call failed.
        """
        with self._thread.place():
            # One whose asker gave up may still be computed, though nobody waits.
            idle = self._thread.num_waiting == 1 and (self._calls is None or self._calls.done())
            if idle and self._last_s <= QUICK_S:
                return self._at_once(question)
            asked: _Asked[Question, Answer] = _Asked(question, asyncio.get_running_loop().create_future())
            self._waiting.append(asked)
            if self._calls is None or self._calls.done():
                self._calls = asyncio.create_task(self._work())
            try:
                async with asyncio.timeout(timeout_s):
                    return await asked.answer
            except TimeoutError:
                raise ServingError(f"{self._name} gave no answer within {1000 * (timeout_s or 0):g} ms") from None
            finally:
                if asked in self._waiting:  # timed out or cancelled before its turn
                    self._waiting.remove(asked)

    def close(self) -> None:
        self._thread.close()
        self._fail(self._waiting, f"{self._name} is closed")
        self._waiting = []

    async def _work(self) -> None:
        """Calls until nobody waits."""
        while self._waiting:
            batch = self._next_batch()
            questions = [asked.question for asked in batch]
            try:
                answers = await self._thread.compute(self._timed, questions)
                for asked, answer in zip(batch, answers, strict=True):
                    if not asked.answer.done():  # else nobody waits any more
                        asked.answer.set_result(answer)
            except Exception as error:  # a model fails in the ways of its runtime
                self._fail(batch, self._failure(error))

    def _at_once(self, question: Question) -> Answer:
        try:
            (answer,) = self._timed([question])
        except Exception as error:  # as in `_work`
            raise ServingError(self._failure(error)) from error
        return answer

    def _timed(self, questions: list[Question]) -> Sequence[Answer]:
        began = time.perf_counter()
        try:
            return self._call(questions)
        finally:
            self._last_s = time.perf_counter() - began

    def _failure(self, error: Exception) -> str:
        return f"{self._name} failed: {type(error).__name__}: {str(error)[:200]}"

    def _next_batch(self) -> list[_Asked[Question, Answer]]:
        """The oldest, and those that can go with it."""
        key = self._key(self._waiting[0].question)
        batch = [asked for asked in self._waiting if self._key(asked.question) == key][:MAX_BATCH]
        self._waiting = [asked for asked in self._waiting if asked not in batch]
        return batch

    def _fail(self, batch: Sequence[_Asked[Question, Answer]], message: str) -> None:
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(ServingError(message))
