"""The champion's Verbalizer on a server of the OpenAI API, such as vLLM with `raconteur export --to vllm`."""

import asyncio
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from raconteur.artifacts import Registry
from raconteur.errors import ServingError
from raconteur.types import History
from serving.backends.json_http import JsonServer
from serving.backends.narrating import MAX_CHARS, Narrating, load_narrating
from serving.follow import Follower
from serving.narration import VERBALIZER, Author


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Choice(_Record):
    text: Annotated[str, Field(max_length=MAX_CHARS)]


class _Completion(_Record):
    model: str
    choices: tuple[_Choice]


class OpenAIVerbalizer:
    """Implements `verbalizer.VerbalizerClient`.

    Args:
        url: address of the server, without `/v1`.
        model: the model's name on the server.
        key: sent as a bearer token; None: the server asks for none.
    """

    def __init__(self, url: str, champion: Follower[Narrating], *, model: str, key: str | None) -> None:
        self._champion = champion
        self._model = model
        self._server = JsonServer(VERBALIZER, url, headers={"Authorization": f"Bearer {key}"} if key else None)

    async def write(self, history: History, *, timeout_s: float) -> tuple[str, Author]:
        if not history.events:
            raise ServingError(f"{VERBALIZER} has nothing to write about: the history is empty")
        champion = self._champion.current.parts
        body = {
            "model": self._model,
            "prompt": await asyncio.to_thread(champion.prompt, history),
            "max_tokens": champion.max_new_tokens,
            "temperature": 0,
        }
        answer = await self._server.post("/v1/completions", body, _Completion, timeout_s=timeout_s)
        if answer.model != self._model:
            raise ServingError(f"{VERBALIZER} answered for model {answer.model[:50]!r}; expected {self._model!r}")
        return await asyncio.to_thread(champion.kept, answer.choices[0].text, history), champion.author

    async def close(self) -> None:
        self._champion.stop()
        await self._server.close()


def open_openai_verbalizer(url: str, models: Path, *, model: str, key: str | None) -> OpenAIVerbalizer:
    """
    Args:
        models: the registry.

    Raises:
        ArtifactError: no usable champion, or its Verbalizer generates no text.
    """
    champion = Follower(Registry(models), load_narrating)
    champion.start()
    return OpenAIVerbalizer(url, champion, model=model, key=key)
