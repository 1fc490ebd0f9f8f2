"""The Verbalizer as a second model of the Reasoner's KServe server, whose process has torch loaded already.

It writes at its own pace and off every request path: one thread computes, a few requests may wait, and while a text is
written the Reasoner's thread goes on beside it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotReady

from raconteur.artifacts import Registry, content_version, read_manifest
from raconteur.represent.load import load_verbalizer
from raconteur.types import History, Verbalizer
from serving.follow import Follower
from serving.narration import INPUTS, OUTPUTS, Author, narration_response, read_narration_request

NAME = "verbalizer"
WEIGHTS = "model.safetensors"
MAX_WAITING = 4  # requests that wait or are written for; one more is answered 503 at once


@dataclass(frozen=True, slots=True)
class Writer:
    verbalizer: Verbalizer
    author: Author


class VerbalizerModel(Model):
    """Writes the texts of histories; always with the champion's Verbalizer."""

    def __init__(self, follower: Follower[Writer]) -> None:
        super().__init__(NAME)
        self._follower = follower
        self._computing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=NAME)
        self._num_waiting = 0
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        return INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        return OUTPUTS

    async def predict(self, payload: Any, headers: dict[str, str] | None = None) -> InferResponse:
        if not isinstance(payload, InferRequest):
            raise InvalidInput(f"{NAME} speaks the V2 protocol only: POST /v2/models/{NAME}/infer")
        histories = read_narration_request(payload)
        if self._num_waiting >= MAX_WAITING:
            raise ModelNotReady(NAME, f"{self._num_waiting} requests are waiting; try again")
        self._num_waiting += 1
        try:
            texts, author = await asyncio.get_running_loop().run_in_executor(self._computing, self._write, histories)
        finally:
            self._num_waiting -= 1
        return narration_response(payload, texts, author=author)

    def stop(self) -> None:
        self._follower.stop()
        self._computing.shutdown(wait=False, cancel_futures=True)

    def _write(self, histories: list[History]) -> tuple[list[str], Author]:
        writer = self._follower.current.parts
        return writer.verbalizer.write(histories), writer.author


def open_verbalizer(models: Path, load: Callable[[Path], Verbalizer] = load_verbalizer) -> VerbalizerModel:
    """The model, following the champion.

    Args:
        models: the registry.
        load: loads a Verbalizer from its folder.

    Raises:
        ArtifactError: no usable champion, or one without a Verbalizer.
    """
    follower = Follower(Registry(models), lambda version: _writer(version, load))
    follower.start()
    return VerbalizerModel(follower)


def _writer(version: Path, load: Callable[[Path], Verbalizer]) -> Writer:
    folder = version / NAME
    verbalizer = load(folder)
    verbalizer.write([History("", ())])
    about = read_manifest(version)
    # As the narrate step names it, so that its texts and ours are told apart only where another Verbalizer wrote them.
    files = read_manifest(folder)["files"]
    named = files[WEIGHTS][:12] if WEIGHTS in files else content_version(folder)
    return Writer(verbalizer, Author(version.name, named, str(about.get("catalogue_version", "unknown"))))
