"""Loads what can choose: the Reasoner (torch) and the student (ONNX Runtime)."""

from pathlib import Path
from typing import TYPE_CHECKING

from raconteur.types import Reasoner

if TYPE_CHECKING:
    from raconteur.reason.choice import ChoiceReasoner
    from raconteur.reason.linked import LinkedReasoner


def load_reasoner(folder: Path) -> Reasoner:
    """
    Raises:
        ArtifactError: the folder holds no Reasoner.
    """
    if (folder / "reasoner.json").exists():
        from raconteur.reason.llm import LetterReasoner

        return LetterReasoner.load(folder)
    return load_choice(folder)


def load_choice(folder: Path) -> "ChoiceReasoner | LinkedReasoner":
    """A Reasoner of the demo profile, with retrieval beside it or without.

    Raises:
        ArtifactError: the folder holds neither.
    """
    if (folder / "linked.json").exists():
        from raconteur.reason.linked import LinkedReasoner

        return LinkedReasoner.load(folder)
    from raconteur.reason.choice import ChoiceReasoner  # torch takes seconds; the student's server does without

    return ChoiceReasoner.load(folder)


def load_student(folder: Path) -> Reasoner:
    """
    Raises:
        ArtifactError: the folder holds no student.
    """
    from raconteur.reason.onnx import OnnxReasoner

    return OnnxReasoner.load(folder)
