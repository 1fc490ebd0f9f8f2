"""Questions to one computing thread: those that arrive while it works go together in its next call.

A lone question is computed at once; batches grow with the load, and nobody waits for company.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from raconteur.errors import ServingError

MAX_WAITING = 64  # questions that wait; one more is refused at once
MAX_BATCH = 16  # of one call: more would make those behind it wait longer and save little

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
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[Question]], Sequence[Answer]],
        *,
        key: Callable[[Question], Hashable] = lambda _: None,
    ) -> None:
        self._name = name
        self._call = call
        self._key = key
        self._computing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: list[_Asked[Question, Answer]] = []  # oldest first
        self._calls: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, question: Question, *, timeout_s: float) -> Answer:
        """
        Raises:
            ServingError: too many wait, no answer in time, or the call failed.
        """
        if self._closed:
            raise ServingError(f"{self._name} is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise ServingError(f"{self._name} is busy: {len(self._waiting)} requests are waiting; try again")
        asked: _Asked[Question, Answer] = _Asked(question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._calls is None or self._calls.done():
            self._calls = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(timeout_s):
                return await asked.answer
        except TimeoutError:
            raise ServingError(f"{self._name} gave no answer within {timeout_s * 1000:g} ms") from None
        finally:
            if asked in self._waiting:  # timed out or cancelled before its turn
                self._waiting.remove(asked)

    def close(self) -> None:
        self._closed = True
        self._computing.shutdown(wait=False)
        self._fail(self._waiting, f"{self._name} is closed")

    async def _work(self) -> None:
        """Calls until nobody waits."""
        while self._waiting and not self._closed:
            batch = self._next_batch()
            questions = [asked.question for asked in batch]
            try:
                answers = await asyncio.get_running_loop().run_in_executor(
                    self._computing, copy_context().run, self._call, questions
                )
                for asked, answer in zip(batch, answers, strict=True):
                    if not asked.answer.done():  # else nobody waits any more
                        asked.answer.set_result(answer)
            except Exception as error:  # a model fails in the ways of its runtime
                self._fail(batch, f"{self._name} failed: {type(error).__name__}: {str(error)[:200]}")

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
