"""The student's graph on a Triton server, as `raconteur export --to triton` writes it: token ids in, scores out.

Triton has no tokenizer of ours, so texts are encoded here, with the champion's files. The export's version stands for
its graph, and an answer of any other than the champion's is refused. V2 over gRPC by kserve's stubs,
not by tritonclient: both define the protobuf messages `inference.*`, and a process can hold them once only; the bytes
on the wire are the same.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from raconteur.artifacts import Registry, read_manifest, version_number
from raconteur.errors import ArtifactError, DataError, ServingError
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import Layout, Prompts
from raconteur.types import FloatArray
from serving.backends.checks import checked_scores, readable
from serving.follow import Follower
from serving.records.json_log import outgoing_headers

OPTIONS = [
    ("grpc.max_receive_message_length", 1024 * 1024),
    # By default a server that was down is tried again after up to two minutes. The least backoff is also the time that
    # an attempt to connect is given.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """
    Attributes:
        number: of the graph, as its export has it for a version.
    """

    prompts: Prompts
    number: int


class TritonRanker:
    """Implements `contract.Ranker`.

    Args:
        name: `student` or `reasoner`: also the folder, within a version, of its tokenizer.
        target: host and port, of gRPC.
        model: the model's name on the server.
        encrypted: whether the server speaks TLS.
    """

    def __init__(self, name: str, target: str, asked: Follower[Asked], *, model: str, encrypted: bool) -> None:
        self.name = name
        self._target = target
        self._asked = asked
        self._model = model
        self._encrypted = encrypted
        self._channel: grpc.aio.Channel | None = None  # belongs to the event loop of the first call
        self._closed = False

    async def score(self, text: str, candidates: Sequence[str], *, timeout_s: float) -> tuple[FloatArray, str]:
        text, ids = readable(text, candidates)
        champion = self._asked.current
        prompts = champion.parts.prompts
        try:
            layout, unknown_BN = prompts.choices([text], [ids])
        except DataError as error:
            raise ServingError(f"{self.name} cannot be asked: {error}") from None
        request = _request(self._model, _padded(layout, prompts.history_tokens))
        answer = await self._ask(request, timeout_s)
        scores = self._read(answer, num_candidates=len(ids))
        if answer.model_version != str(champion.parts.number):
            raise ServingError(
                f"{self.name} answered with version {answer.model_version[:20]!r} of another export; the champion "
                f"{champion.version} is {champion.parts.number}: load its export (`raconteur export --to triton`)"
            )
        return checked_scores(scores, unknown_BN[0], name=self.name), champion.version

    async def close(self) -> None:
        self._closed = True
        self._asked.stop()
        if self._channel is not None:
            await self._channel.close()

    async def _ask(self, request: ModelInferRequest, timeout_s: float) -> ModelInferResponse:
        stub = GRPCInferenceServiceStub(self._open())
        try:
            # gRPC takes an answer that comes as its deadline passes, and tells the server when to stop; the clock here
            # is that of every other backend.
            async with asyncio.timeout(timeout_s):
                answer = await stub.ModelInfer(request, metadata=tuple(outgoing_headers().items()), timeout=timeout_s)
        except TimeoutError:
            raise self._late(timeout_s) from None
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._late(timeout_s) from None
            said = f"{error.code().name}: {' '.join((error.details() or '').split())[:200]}"
            raise ServingError(f"{self.name} failed: {said}") from error
        if answer is None:  # grpc's word for bytes that are no such message
            raise ServingError(f"{self.name} answered bytes that are no V2 inference answer")
        return answer

    def _late(self, timeout_s: float) -> ServingError:
        return ServingError(f"{self.name} gave no answer within {timeout_s * 1000:g} ms")

    def _open(self) -> grpc.aio.Channel:
        if self._closed:
            raise ServingError(f"{self.name} is closed")
        if self._channel is None:
            self._channel = (
                grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials(), options=OPTIONS)
                if self._encrypted
                else grpc.aio.insecure_channel(self._target, options=OPTIONS)
            )
        return self._channel

    def _read(self, answer: ModelInferResponse, *, num_candidates: int) -> npt.NDArray[np.float32]:
        """Scores [N]; a server sends them as bytes (Triton) or as numbers."""
        outputs = [(one.name, one.datatype, list(one.shape)) for one in answer.outputs]
        expected = [("scores", "FP32", [1, num_candidates])]
        if answer.model_name != self._model or outputs != expected:
            said = f"for model {answer.model_name[:50]!r} {str(outputs)[:200]}"
            raise ServingError(f"{self.name} answered {said}; expected {self._model!r} and {expected}")
        if not answer.raw_output_contents:
            return np.array(answer.outputs[0].contents.fp32_contents, dtype=np.float32)
        raw = answer.raw_output_contents[0]
        if len(raw) != 4 * num_candidates:
            raise ServingError(f"{self.name} answered {len(raw)} bytes for {num_candidates} scores of 4 bytes each")
        return np.frombuffer(raw, dtype="<f4")


def open_triton(name: str, target: str, models: Path, *, model: str, encrypted: bool) -> TritonRanker:
    """
    Args:
        models: the registry.

    Raises:
        ArtifactError: no usable champion, or one whose student is no graph.
    """
    asked = Follower(Registry(models), lambda version: _load(version, name))
    asked.start()
    return TritonRanker(name, target, asked, model=model, encrypted=encrypted)


def _load(version: Path, name: str) -> Asked:
    checksum = read_manifest(version)["files"].get(f"{name}/{MODEL}")
    if checksum is None:
        raise ArtifactError(f"{version / name} holds no {MODEL}; Triton serves students that `quantise` wrote")
    return Asked(Prompts.load(version / name), version_number(checksum))


def _padded(layout: Layout, history_tokens: int) -> Layout:
    """As long as with the longest text: Triton puts rows of one length alone into a batch."""
    missing = history_tokens - int(layout.choose_B[0])
    return Layout(np.pad(layout.ids_BL, ((0, 0), (0, missing))), layout.choose_B, layout.places_BN)


def _request(model: str, layout: Layout) -> ModelInferRequest:
    tensors = {"ids": layout.ids_BL, "choose": layout.choose_B[:, None], "candidates": layout.places_BN}
    return ModelInferRequest(
        model_name=model,
        inputs=[
            ModelInferRequest.InferInputTensor(name=name, datatype="INT64", shape=values.shape)
            for name, values in tensors.items()
        ],
        raw_input_contents=[values.astype("<i8").tobytes() for values in tensors.values()],
    )
