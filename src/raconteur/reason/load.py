"""Loads what can choose: the Reasoner (torch) and the student (ONNX Runtime)."""

from pathlib import Path

from raconteur.types import Reasoner


def load_reasoner(folder: Path) -> Reasoner:
    """
    Raises:
        ArtifactError: the folder holds no Reasoner.
    """
    if (folder / "reasoner.json").exists():
        from raconteur.reason.llm import LetterReasoner

        return LetterReasoner.load(folder)
    from raconteur.reason.choice import ChoiceReasoner  # torch takes seconds; the student's server does without

    return ChoiceReasoner.load(folder)


def load_student(folder: Path) -> Reasoner:
    """
    Raises:
        ArtifactError: the folder holds no student.
    """
    from raconteur.reason.onnx import OnnxReasoner

    return OnnxReasoner.load(folder)
