"""Loads a trained Verbalizer from its folder."""

import json
from collections.abc import Callable
from pathlib import Path

from raconteur.errors import ArtifactError
from raconteur.represent.action import ActionVerbalizer
from raconteur.represent.folder import ABOUT
from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.types import Verbalizer


def load_verbalizer(folder: Path) -> Verbalizer:
    """The Verbalizer of the kind that the folder names.

    Raises:
        ArtifactError: the folder holds no Verbalizer, or one of an unknown kind.
    """
    try:
        kind = str(json.loads((folder / ABOUT).read_text())["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder} holds no readable Verbalizer: {error}") from error
    if kind == "llm":
        from raconteur.represent.llm import LlmVerbalizer  # what it needs beside takes seconds to load

        return LlmVerbalizer.load(folder)
    loaders: dict[str, Callable[[Path], Verbalizer]] = {
        "rewrite": RewriteVerbalizer.load,
        "action": ActionVerbalizer.load,
    }
    if kind not in loaders:
        raise ArtifactError(
            f"{folder} holds a Verbalizer of kind '{kind}'; known kinds: {', '.join(sorted([*loaders, 'llm']))}"
        )
    return loaders[kind](folder)


def writer_of(verbalizer: Path | Verbalizer) -> Verbalizer:
    """A Verbalizer, or the one in a folder: training steps take either."""
    return load_verbalizer(verbalizer) if isinstance(verbalizer, Path) else verbalizer
