"""How candidates are put to a language model that answers with a letter, as `raconteur.reason.llm` does it here.

What never changes stands first, then the user's text, then the lettered titles of the champion's catalogue: servers
keep the computed prefix of a prompt. A champion whose Reasoner is such a model names its base, and is asked in exactly
the tokens that it was tuned on. Any other language model is asked in plain text.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from raconteur.columns import ITEM_ID, TITLE
from raconteur.errors import ArtifactError
from raconteur.reason.llm import ABOUT, INSTRUCTION, LETTERS, NO_TEXT, LetterPrompts
from raconteur.represent.mentions import expand, plain
from raconteur.represent.pretrained import short

MAX_NOTE_CHARS = 4000  # of a text in plain form, some thousand tokens; its newest end is kept

Prompt = str | list[int]  # text, or token ids


@dataclass(frozen=True, slots=True)
class Questions:
    """
    Attributes:
        titles: by item id; an item without one is not known.
        prompt: of a text and at most `len(LETTERS)` candidates.
    """

    titles: Mapping[str, str]
    prompt: Callable[[str, Sequence[str]], Prompt]


def load_questions(version: Path) -> Questions:
    """
    Args:
        version: a verified version folder.

    Raises:
        ArtifactError: the catalogue cannot be read, or the Reasoner's base is not to be found.
    """
    titles = titles_of(version)
    about = version / "reasoner" / ABOUT
    if about.exists():
        return Questions(titles, partial(_as_tokens, _prompts(about, titles)))
    return Questions(titles, partial(_as_text, {item_id: plain(short(title)) for item_id, title in titles.items()}))


def _as_tokens(prompts: LetterPrompts, text: str, candidates: Sequence[str]) -> Prompt:
    ids: list[int] = prompts.batch([text], [candidates]).ids_BL[0].tolist()
    return ids


def _as_text(titles: Mapping[str, str], text: str, candidates: Sequence[str]) -> Prompt:
    note = plain(expand(text, titles))[-MAX_NOTE_CHARS:] or NO_TEXT
    listed = [f"{letter}. {titles.get(item_id, '?')}" for letter, item_id in zip(LETTERS, candidates, strict=False)]
    return "\n".join([INSTRUCTION, "", "<note>", note, "</note>", "", *listed, "", "Answer:", ""])


def _prompts(about: Path, titles: Mapping[str, str]) -> LetterPrompts:
    try:
        saved = json.loads(about.read_text())
        base, history_tokens = str(saved["base"]), int(saved["history_tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{about} holds no readable Reasoner: {error}") from error
    return LetterPrompts(tokenizer_of(base), titles, history_tokens=history_tokens)


def tokenizer_of(base: str) -> PreTrainedTokenizerBase:
    """Of a base whose weights are the server's alone.

    Raises:
        ArtifactError: there is none.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            base, local_files_only=Path(base).is_dir(), padding_side="left"
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"the tokenizer of {base} cannot be read ({str(error)[:200]}); the recommender needs it to ask the server"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def titles_of(version: Path) -> dict[str, str]:
    """Titles of the version's catalogue, by item id.

    Raises:
        ArtifactError: it cannot be read.
    """
    path = version / "items.parquet"
    try:
        items = pl.read_parquet(path, columns=[ITEM_ID, TITLE])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path} is no catalogue ({error}); release the version again") from None
    return dict(zip(items[ITEM_ID].to_list(), items[TITLE].to_list(), strict=True))
