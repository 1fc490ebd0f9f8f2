"""A Reasoner behind any server of the OpenAI API, such as vLLM: it answers with a letter, and can write.

A score is the log-probability of a candidate's letter as the next token. Servers tell those of the best few tokens
alone (vLLM: 20, `--max-logprobs`). A letter that is not among them is at most as likely as the last that is, so it
stands below all of these: last, but not unknown.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from raconteur.artifacts import Registry
from raconteur.errors import ServingError, UnaskedError
from raconteur.reason.llm import LETTERS
from raconteur.types import FloatArray
from serving.backends.checks import MAX_VERSION_CHARS, checked_scores, readable
from serving.backends.contract import joint_version
from serving.backends.json_http import JsonServer
from serving.backends.letters import Questions, load_questions
from serving.follow import Follower

NUM_LOGPROBS = 20  # asked for, or as many as there are candidates: vLLM's default bound
MISSING_NATS = 1.0  # below the least likely token that the server told


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Logprobs(_Record):
    top_logprobs: tuple[dict[str, FiniteFloat]]  # of the one token


class _Choice(_Record):
    logprobs: _Logprobs


class _Completion(_Record):
    model: Annotated[str, Field(min_length=1, max_length=MAX_VERSION_CHARS)]
    choices: tuple[_Choice]


class _Message(_Record):
    content: str


class _Reply(_Record):
    message: _Message


class _Chat(_Record):
    choices: tuple[_Reply]


class OpenAIRanker:
    """Implements `contract.Ranker`, and writes.

    Args:
        name: `student` or `reasoner`.
        url: address of the server, without `/v1`.
        model: the model's name on the server.
        key: sent as a bearer token; None: the server asks for none.
    """

    def __init__(self, name: str, url: str, questions: Follower[Questions], *, model: str, key: str | None) -> None:
        self.name = name
        self._questions = questions
        self._model = model
        self._server = JsonServer(name, url, headers={"Authorization": f"Bearer {key}"} if key else None)

    async def score(self, text: str, candidates: Sequence[str], *, timeout_s: float) -> tuple[FloatArray, str]:
        text, ids = readable(text, candidates)
        if len(ids) > len(LETTERS):
            raise UnaskedError(
                f"{self.name} answers by letter and takes {len(LETTERS)} candidates, got {len(ids)}: "
                "lower retrieve.num_ranked"
            )
        champion = self._questions.current
        body = {
            "model": self._model,
            "prompt": champion.parts.prompt(text, ids),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": max(NUM_LOGPROBS, len(ids)),
        }
        answer = await self._server.post("/v1/completions", body, _Completion, timeout_s=timeout_s)
        scores = self._letter_scores(answer.choices[0].logprobs.top_logprobs[0], len(ids))
        unknown_N = np.array([item_id not in champion.parts.titles for item_id in ids])
        return checked_scores(scores, unknown_N, name=self.name), joint_version(champion.version, answer.model)

    async def write(self, prompt: str, *, max_tokens: int, timeout_s: float) -> str:
        """What the model answers to a request, as text that nobody has checked yet.

        Raises:
            ServingError: no answer in time, or an empty one.
        """
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": False},  # models that think aloud would spend all tokens on it
        }
        answer = await self._server.post("/v1/chat/completions", body, _Chat, timeout_s=timeout_s)
        written = answer.choices[0].message.content.strip()
        if not written:
            raise ServingError(f"{self.name} wrote nothing")
        return written

    async def close(self) -> None:
        self._questions.stop()
        await self._server.close()

    def _letter_scores(self, top: Mapping[str, float], num_candidates: int) -> list[float]:
        if len(top) < num_candidates:
            raise ServingError(
                f"{self.name} tells the {len(top)} likeliest tokens, too few for {num_candidates} candidates: "
                "raise the server's bound (vLLM: --max-logprobs) or lower retrieve.num_ranked"
            )
        letters = LETTERS[:num_candidates]
        if top.keys().isdisjoint(letters):
            raise ServingError(f"{self.name} answers with no letter of a candidate; its likeliest: {list(top)[:5]}")
        missing = min(top.values()) - MISSING_NATS
        return [top.get(letter, missing) for letter in letters]


def open_openai(name: str, url: str, models: Path, *, model: str, key: str | None) -> OpenAIRanker:
    """
    Args:
        models: the registry.

    Raises:
        ArtifactError: no usable champion.
    """
    questions = Follower(Registry(models), load_questions)
    questions.start()
    return OpenAIRanker(name, url, questions, model=model, key=key)
