"""Loads a Verbalizer from its folder."""

from pathlib import Path

from raconteur.represent.rewrite import RewriteVerbalizer
from raconteur.types import Verbalizer


def load_verbalizer(folder: Path) -> Verbalizer:
    """
    Raises:
        ArtifactError: the folder holds no Verbalizer.
    """
    return RewriteVerbalizer.load(folder)
