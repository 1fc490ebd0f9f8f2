"""What the models of the KServe servers have in common: the champion's parts, one thread with a bounded queue whose
requests go together in a call, the outcome of every request in the metrics, and a span for the request and one for the
model's own work.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotReady

from serving.batches import Batches
from serving.follow import Follower, Loaded
from serving.one_thread import BusyError
from serving.records.json_log import REQUEST_ID, request_id_var
from serving.records.metrics import ModelMetrics, ModelOutcome
from serving.records.tracing import annotate, server_span, span

Parts = TypeVar("Parts")
Question = TypeVar("Question")


class ServedModel(Model, ABC, Generic[Parts, Question]):
    """Answers with what the follower shows when the model's turn comes.

    Args:
        max_waiting: requests that wait for the model or use it; one more is answered 503 at once.
    """

    def __init__(self, name: str, follower: Follower[Parts], metrics: ModelMetrics, *, max_waiting: int) -> None:
        super().__init__(name)
        self._follower = follower
        self._metrics = metrics
        self._batches: Batches[Question, InferResponse] = Batches(
            name,
            lambda questions: self.answer(questions, self._follower.current),
            key=self.key,
            max_waiting=max_waiting,
            changed=lambda num_waiting: metrics.set_waiting(name, num_waiting),
        )
        self.ready = True

    @abstractmethod
    def read(self, request: InferRequest) -> Question:
        """What a request asks.

        Raises:
            InvalidInput: answered as 400 (REST) or INVALID_ARGUMENT (gRPC).
        """

    @abstractmethod
    def answer(self, questions: Sequence[Question], current: Loaded[Parts]) -> Sequence[InferResponse]:
        """Answers what waited together, one response a question, with the version that serves now."""

    def key(self, question: Question) -> Hashable:
        """Only questions with the same key are answered together."""
        return None

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> InferResponse:
        """
        Args:
            headers: of the REST request, or the metadata of the gRPC call.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidInput(f"{self.name} speaks the V2 protocol only: POST /v2/models/{self.name}/infer")
        headers = headers or {}
        request_id_var.set(payload.id or headers.get(REQUEST_ID))
        with server_span(headers, f"{self.name}.predict"):
            outcome: ModelOutcome = "failed"
            try:
                response = await self._answer(payload)
                outcome = "answered"
                return response
            except (InvalidInput, ModelNotReady):
                outcome = "refused"
                raise
            finally:
                self._metrics.count_request(self.name, outcome)

    def stop(self) -> None:
        """Called by kserve when the server ends."""
        self._follower.stop()
        self._batches.close()

    @contextmanager
    def measured(self, work: str, *, model: object, version: str, num_texts: int) -> Iterator[None]:
        """A span of the model's own work, and its cost in the metrics.

        Args:
            model: tokens are counted where it tells those that it has read so far.
        """
        with span(work, num_texts=num_texts, version=version):
            # Processor time of the process, whose other threads do little else.
            num_read, started_s, processor_s = _num_read(model), time.perf_counter(), time.process_time()
            yield
            self._metrics.count_call(
                self.name,
                version,
                num_texts=num_texts,
                num_tokens=_num_read(model) - num_read,
                spent_s=time.perf_counter() - started_s,
                processor_ms=(time.process_time() - processor_s) * 1000,
            )

    async def _answer(self, request: InferRequest) -> InferResponse:
        question = self.read(request)
        annotate(num_waiting=self._batches.num_waiting)
        try:
            return await self._batches.ask(question, timeout_s=None)
        except BusyError as error:
            raise ModelNotReady(self.name, str(error)) from None


def _num_read(model: object) -> int:
    """Tokens that a model has read since it was loaded; 0 where it does not count them."""
    return getattr(model, "num_tokens_read", 0)
