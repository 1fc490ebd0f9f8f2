"""The Verbalizer as a second model of the Reasoner's KServe server, whose process has torch loaded already.

It writes at its own pace and off every request path: one thread computes, a few requests may wait, and while a text is
written the Reasoner's thread goes on beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kserve import InferRequest, InferResponse

from raconteur.artifacts import Registry
from raconteur.represent.load import load_verbalizer
from raconteur.types import History, Verbalizer
from serving.follow import Follower, Loaded
from serving.models.served_model import ServedModel
from serving.narration import (
    INPUTS,
    OUTPUTS,
    VERBALIZER,
    Author,
    author_of,
    narration_response,
    read_narration_request,
)
from serving.records.metrics import ModelMetrics
from serving.records.tracing import annotate

MAX_WAITING = 4  # requests that wait or are written for; one more is answered 503 at once


@dataclass(frozen=True, slots=True)
class Writer:
    verbalizer: Verbalizer
    author: Author


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    request: InferRequest
    histories: list[History]


class VerbalizerModel(ServedModel[Writer, Question]):
    """Writes the texts of histories; always with the champion's Verbalizer."""

    def __init__(self, follower: Follower[Writer], metrics: ModelMetrics) -> None:
        super().__init__(VERBALIZER, follower, metrics, max_waiting=MAX_WAITING)

    def get_input_types(self) -> list[dict[str, Any]]:
        return INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        return OUTPUTS

    def read(self, request: InferRequest) -> Question:
        histories = read_narration_request(request)
        annotate(num_texts=len(histories))
        return Question(request, histories)

    def answer(self, questions: Sequence[Question], current: Loaded[Writer]) -> Sequence[InferResponse]:
        verbalizer, author = current.parts.verbalizer, current.parts.author
        histories = [history for question in questions for history in question.histories]
        with self.measured("write", model=verbalizer, version=author.version, num_texts=len(histories)):
            texts = iter(verbalizer.write(histories))
        return [
            narration_response(question.request, list(islice(texts, len(question.histories))), author=author)
            for question in questions
        ]


def open_verbalizer(
    models: Path, metrics: ModelMetrics, load: Callable[[Path], Verbalizer] = load_verbalizer
) -> VerbalizerModel:
    """The model, following the champion.

    Args:
        models: the registry.
        metrics: of the process.
        load: loads a Verbalizer from its folder.

    Raises:
        ArtifactError: no usable champion, or one without a Verbalizer.
    """
    follower = Follower(Registry(models), lambda version: _writer(version, load))
    follower.start()
    return VerbalizerModel(follower, metrics)


def _writer(version: Path, load: Callable[[Path], Verbalizer]) -> Writer:
    verbalizer = load(version / VERBALIZER)
    verbalizer.write([History("", ())])
    return Writer(verbalizer, author_of(version))
