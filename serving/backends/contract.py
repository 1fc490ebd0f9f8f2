"""What the recommender asks of a ranker, wherever it runs. One contract suite holds all of them:
tests/serving/test_backends.py.
"""

from collections.abc import Sequence
from typing import Protocol

from raconteur.types import FloatArray


class Ranker(Protocol):
    name: str  # `student` or `reasoner`

    async def score(self, text: str, candidates: Sequence[str], *, timeout_s: float) -> tuple[FloatArray, str]:
        """Scores of the candidates [N], NaN where the model does not know the item, and the model's version.

        Args:
            text: of any length; a text that is too long keeps its newest end.
            timeout_s: the whole call may take this long.

        Raises:
            ServingError: it is down, slow or busy, or what it answered is no ranking of these candidates.
        """
        ...

    async def close(self) -> None: ...


def joint_version(champion: str, served: str) -> str:
    """Names a model that a server of another make holds, read with the champion's own prompts or titles."""
    return f"{champion}+{served}"


def champion_of(version: str) -> str:
    """The champion whose files a ranker's version stands on."""
    return version.partition("+")[0]
