"""How the champion's Verbalizer is asked where its weights are another server's, and what is kept of the answer.

It reads exactly the tokens that it was trained on. Citations in its answer are resolved against the log, as our own
server does it; of the words between, those stay that log and catalogue do not show to be false.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raconteur.errors import ArtifactError, ServingError
from raconteur.guard.narratives import Witness
from raconteur.represent.citations import resolve
from raconteur.represent.facts import Facts
from raconteur.represent.folder import ABOUT, described
from raconteur.represent.llm import NotePrompts
from raconteur.represent.rewrite import prompt_of
from raconteur.represent.tokenizer import for_transformers, load_tokenizer
from raconteur.types import History
from serving.backends.letters import titles_of, tokenizer_of
from serving.narration import VERBALIZER, Author, author_of

MAX_CHARS = 4000  # of a text, some thousand tokens


@dataclass(frozen=True, slots=True)
class Narrating:
    """
    Attributes:
        max_events: newest events of a history that the writer is shown.
        prompt: token ids of a history's prompt.
    """

    author: Author
    facts: Facts
    witness: Witness
    max_events: int
    max_new_tokens: int
    prompt: Callable[[History], list[int]]

    def kept(self, said: str, history: History) -> str:
        """The narrative in what the server said.

        Raises:
            ServingError: it is too long, or nothing of it is left.
        """
        shown = History(history.user_id, history.events[-self.max_events :])
        text = resolve(said, shown.events, self.facts)
        if len(text) > MAX_CHARS:
            raise ServingError(f"{VERBALIZER} wrote {len(text)} characters; at most {MAX_CHARS} are taken")
        kept = self.witness.borne_out(text, shown)
        if not kept:
            raise ServingError(f"{VERBALIZER} wrote nothing that log and catalogue bear out")
        return kept


def load_narrating(version: Path) -> Narrating:
    """
    Args:
        version: a verified version folder.

    Raises:
        ArtifactError: it holds no Verbalizer that generates text, or the tokenizer of its base is not to be found.
    """
    folder = version / VERBALIZER
    try:
        about = json.loads((folder / ABOUT).read_text())
        facts, text = described(about)
        max_new_tokens = int(about["max_new_tokens"])
        prompt = _prompt(about, folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder} holds no readable Verbalizer: {error}") from error
    witness = Witness.of(facts, titles_of(version))
    return Narrating(author_of(version), facts, witness, text.max_events, max_new_tokens, prompt)


def _prompt(about: dict[str, Any], folder: Path) -> Callable[[History], list[int]]:
    facts, text = described(about)
    if about["kind"] == "rewrite":
        small = for_transformers(load_tokenizer(folder))
        return lambda history: _ids(small(prompt_of(history.events[-text.max_events :]), add_special_tokens=False))
    if about["kind"] == "llm":
        tokenizer = tokenizer_of(str(about["base"]))
        prompts = NotePrompts(tokenizer, facts, dict(about["titles"]), text, max_tokens=int(about["max_prompt_tokens"]))
        return lambda history: _ids(tokenizer(prompts.prompt(history)))
    raise ArtifactError(
        f"{folder} holds a Verbalizer of kind '{about['kind']}', which generates no text: "
        "ask our own server for it, serve.verbalizer.kind = 'kserve'"
    )


def _ids(encoded: Any) -> list[int]:
    ids: list[int] = encoded["input_ids"]
    return ids
