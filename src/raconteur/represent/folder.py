"""The folder of a Verbalizer: what all of them say of the data, and the whole of one that is a small model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from raconteur.config.schema import DataConfig, TextConfig
from raconteur.errors import ArtifactError
from raconteur.represent.facts import Facts
from raconteur.represent.tokenizer import FILE, for_transformers, load_tokenizer

ABOUT = "verbalizer.json"


@dataclass(frozen=True)
class Writer:
    """A small language model and what it needs to know of the data."""

    model: Qwen3ForCausalLM
    tokenizer: PreTrainedTokenizerFast
    facts: Facts
    text: TextConfig
    max_new_tokens: int


def save_writer(writer: Writer, folder: Path, *, kind: str) -> None:
    writer.model.save_pretrained(folder)
    writer.tokenizer.backend_tokenizer.save(str(folder / FILE))
    about = describe(writer.facts, writer.text, kind=kind, max_new_tokens=writer.max_new_tokens)
    (folder / ABOUT).write_text(json.dumps(about))


def load_writer(folder: Path) -> Writer:
    """
    Raises:
        ArtifactError: the folder holds no Verbalizer.
    """
    tokenizer = for_transformers(load_tokenizer(folder))
    try:
        about = json.loads((folder / ABOUT).read_text())
        model = Qwen3ForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        facts, text = described(about)
        return Writer(model, tokenizer, facts, text, about["max_new_tokens"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(f"{folder} holds no readable Verbalizer: {error}") from error


def describe(facts: Facts, text: TextConfig, *, kind: str, max_new_tokens: int) -> dict[str, Any]:
    """What every Verbalizer's `verbalizer.json` says."""
    return {
        "kind": kind,
        "text": text.model_dump(),
        "max_new_tokens": max_new_tokens,
        "data": facts.data.model_dump(),
        "categories": {item_id: list(names) for item_id, names in facts.categories.items()},
    }


def described(about: Mapping[str, Any]) -> tuple[Facts, TextConfig]:
    """Facts and text settings of a `verbalizer.json`."""
    facts = Facts(about["categories"], DataConfig.model_validate(about["data"]))
    return facts, TextConfig.model_validate(about["text"])
