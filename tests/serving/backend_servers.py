"""Small real servers for the backends' tests.

Run as a program: `triton REPOSITORY PORT GRPC_PORT` hosts an exported graph as a Triton server would, and
`openai BASE PORT` completes text by the OpenAI API with a Hugging Face model. In this process: servers that answer
whatever a test tells them to.
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

OPENAI_MODEL = "tiny"
MAX_LOGPROBS = 20  # vLLM's default


def serve_triton(repository: Path, port: int, grpc_port: int) -> None:
    """The repository's graph as its config.pbtxt declares it: `choose` comes as [B, 1] and is read as [B]."""
    import numpy as np
    import onnxruntime as ort
    from kserve import InferOutput, InferRequest, InferResponse, Model

    from serving.models.model_server import BoundServer

    (graph,) = repository.glob("student/*/model.onnx")
    version = graph.parent.name

    class Graph(Model):
        def __init__(self) -> None:
            super().__init__("student")
            self._session = ort.InferenceSession(str(graph))
            self.ready = True

        async def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
            ids, choose, candidates = (
                payload.get_input_by_name(name).as_numpy() for name in ("ids", "choose", "candidates")
            )
            assert choose.shape == (len(ids), 1)
            feeds = {"ids": ids, "choose": choose[:, 0], "candidates": candidates}
            scores = self._session.run(["scores"], feeds)[0].astype(np.float32)
            output = InferOutput("scores", list(scores.shape), "FP32", data=scores)
            return InferResponse(payload.id or "", "student", [output], model_version=version)

    BoundServer(host="127.0.0.1", http_port=port, grpc_port=grpc_port).start([Graph()])


def serve_openai(base: str, port: int) -> None:
    """Completions and chat of one model, with a key where RACONTEUR_OPENAI_KEY is set."""
    import torch
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(base).eval(), AutoTokenizer.from_pretrained(base)
    app, key = FastAPI(), os.environ.get("RACONTEUR_OPENAI_KEY")

    async def asked(request: Request) -> dict[str, Any]:
        if key and request.headers.get("authorization") != f"Bearer {key}":
            raise HTTPException(401, "wrong key")
        body = await request.json()
        if body["model"] != OPENAI_MODEL:
            raise HTTPException(404, f"the model {body['model']} does not exist")
        return body

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"data": [{"id": OPENAI_MODEL}]}

    @app.post("/v1/completions")
    async def complete(request: Request) -> dict[str, Any]:
        body = await asked(request)
        prompt = body["prompt"]
        ids = tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        if "logprobs" not in body:
            out = model.generate(torch.tensor([ids]), max_new_tokens=body["max_tokens"], do_sample=False)
            said = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
            return {"model": OPENAI_MODEL, "choices": [{"index": 0, "text": said, "logprobs": None}]}
        if body["logprobs"] > MAX_LOGPROBS:
            raise HTTPException(400, f"Requested logprobs of {body['logprobs']}, max allowed: {MAX_LOGPROBS}")
        with torch.inference_mode():
            logprobs_V = model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
        best = logprobs_V.topk(body["logprobs"])
        top: dict[str, float] = {}
        for token, logprob in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            top.setdefault(tokenizer.decode([token]), logprob)
        written = next(iter(top))
        return {
            "id": "1",
            "object": "text_completion",
            "model": OPENAI_MODEL,
            "choices": [{"index": 0, "text": written, "logprobs": {"tokens": [written], "top_logprobs": [top]}}],
        }

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        body = await asked(request)
        inputs = tokenizer.apply_chat_template(
            body["messages"],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
            **body["chat_template_kwargs"],
        )
        out = model.generate(**inputs, max_new_tokens=body["max_tokens"], do_sample=False)
        said = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return {"model": OPENAI_MODEL, "choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def http_answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return lines.encode() + body


# What no JSON server of ours or of others says when it is well.
HTTP_GARBAGE = {
    "no http": b"\x00\xff\x13 what is http\r\n\r\n",
    "nothing at all": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "error": http_answer(b'{"error": "\x1b[2J out of memory"}', status="500 Internal Server Error"),
    "busy": http_answer(b"", status="503 Service Unavailable"),
    "redirect": http_answer(b"", status="307 Temporary Redirect", headers="Location: http://192.0.2.7/\r\n"),
    "page": http_answer(b"<html>\x1b[2J it works </html>"),
    "empty": http_answer(b""),
    "null": http_answer(b"null"),
    "list": http_answer(b"[]"),
    "half of json": http_answer(b'{"outputs": ['),
    "no utf-8": http_answer(b'{"model": "\xff\xfe"}'),
    "deep": http_answer(b'{"outputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "compressed": http_answer(b"\x1f\x8b\x08\x00", headers="Content-Encoding: gzip\r\n"),
}


@asynccontextmanager
async def answering(said: bytes, *, port: int = 0, then_silent: bool = False):
    """A server that reads a request and says `said`, whatever that is; yields its port and the requests it read."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.read(65536))
            writer.write(said)
            await writer.drain()
            if then_silent:
                await reader.read()  # until the client gives up
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


@asynccontextmanager
async def answering_grpc(said: bytes | grpc.StatusCode, *, port: int = 0):
    """A V2 gRPC server that answers every inference with these bytes, or fails with this status.

    Yields its port and the requests, as bytes.
    """
    asked: list[bytes] = []

    async def infer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        asked.append(request)
        if isinstance(said, bytes):
            return said
        return await context.abort(said, "as told")

    handler = grpc.unary_unary_rpc_method_handler(infer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})]
    )
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound, asked
    finally:
        await server.stop(None)


if __name__ == "__main__":
    kind, source, *ports = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve reads the arguments at import
    if kind == "triton":
        serve_triton(Path(source), *map(int, ports))
    else:
        serve_openai(source, int(ports[0]))
