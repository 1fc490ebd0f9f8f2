"""A Reasoner with retrieval beside it: what do the items that a text names say of each candidate?

A score is a weighted sum of the Reasoner's and of what the links say: the sequential model, EASE and the Markov model,
asked with the mentions of the text, oldest first, as every Verbalizer writes them, and the logarithm of how often the
candidate is taken, since the others favour what everybody takes. Of the user nothing but the text is read.
`train.linked` learns the weights. Axis letters: B texts, N candidates, F features, L links.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raconteur.errors import ArtifactError
from raconteur.evaluate.choice import score_candidates
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mentioned
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.markov import Markov
from raconteur.retrieve.popularity import Popularity
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.types import FloatArray

FILE = "linked.json"
REASONER = "reasoner"  # folder of the Reasoner inside; each link has one of its own name
FEATURES = (REASONER, "sequential", "ease", "markov", "takes")


@dataclass(frozen=True)
class Links:
    """What knows how items go together, all of one catalogue."""

    sequential: SequentialRetriever
    ease: Ease
    markov: Markov  # discounted
    takes: Popularity

    @classmethod
    def fit(cls, sequential: SequentialRetriever, sequences: Sequence[Sequence[str]]) -> "Links":
        """
        Args:
            sequences: items taken by each user, oldest first, that the sequential model was trained on.
        """
        ids = sequential.item_ids
        return cls(
            sequential,
            Ease.fit(sequences, ids),
            Markov.fit(sequences, ids, discount_popular=True),
            Popularity.fit(sequences, ids),
        )

    def score(self, taken: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]) -> FloatArray:
        """What each link says [B, N, L]; nothing, 0, of an item that it does not know.

        Args:
            taken: item ids, oldest first.
        """
        parts = (self.sequential, self.ease, self.markov, self.takes)
        *said, takes_BN = (score_candidates(part, taken, candidates) for part in parts)
        return np.nan_to_num(np.stack([*said, np.log1p(takes_BN)], axis=2), nan=0.0)

    def save(self, folder: Path) -> None:
        for name, part in vars(self).items():
            (folder / name).mkdir()
            part.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> "Links":
        """
        Raises:
            ArtifactError: a part is missing or cannot be read.
        """
        return cls(
            SequentialRetriever.load(folder / "sequential"),
            Ease.load(folder / "ease"),
            Markov.load(folder / "markov"),
            Popularity.load(folder / "takes"),
        )


class LinkedReasoner:
    """Implements `types.Reasoner`."""

    def __init__(self, judge: ChoiceReasoner, links: Links, weights_F: FloatArray) -> None:
        """
        Args:
            weights_F: of FEATURES.
        """
        self.judge, self.links, self.weights_F = judge, links, weights_F

    @property
    def prompts(self) -> Prompts:
        return self.judge.prompts

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        if not len(texts):
            return np.zeros((0, 0), dtype=np.float32)
        scores_BN: FloatArray = features(self.judge, self.links, texts, candidates) @ self.weights_F
        return scores_BN

    def save(self, folder: Path) -> None:
        (folder / REASONER).mkdir()
        self.judge.save(folder / REASONER)
        self.links.save(folder)
        (folder / FILE).write_text(json.dumps({"weights": self.weights_F.tolist()}))

    @classmethod
    def load(cls, folder: Path) -> "LinkedReasoner":
        """
        Raises:
            ArtifactError: the folder holds no Reasoner with links, or one of its weights is no number.
        """
        judge, links = ChoiceReasoner.load(folder / REASONER), Links.load(folder)
        try:
            weights_F = np.array(json.loads((folder / FILE).read_text())["weights"], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no readable linked Reasoner: {error}") from error
        if weights_F.shape != (len(FEATURES),) or not np.isfinite(weights_F).all():
            raise ArtifactError(f"{folder / FILE} holds no finite weights of {', '.join(FEATURES)}: learn them again")
        return cls(judge, links, weights_F)


def features(
    judge: ChoiceReasoner, links: Links, texts: Sequence[str], candidates: Sequence[Sequence[str]]
) -> FloatArray:
    """FEATURES of each candidate [B, N, F]; NaN in the first: the Reasoner does not know the item."""
    judged_BN = judge.score(texts, candidates)
    linked_BNL = links.score([mentioned(text) for text in texts], candidates)
    return np.concatenate([judged_BN[:, :, None], linked_BNL], axis=2)
