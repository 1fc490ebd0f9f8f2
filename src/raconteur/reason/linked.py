"""A Reasoner with the log's counts beside it: what do the items that a text names say of each candidate?

A score is a weighted sum of the Reasoner's and of three that counting gives: EASE's and the Markov model's, asked with
the mentions of the text, oldest first, as every Verbalizer writes them, and the logarithm of how often the candidate
is taken, since the other two favour what everybody takes. Of the user nothing but the text is read. `train.linked`
learns the weights. Axis letters: B texts, N candidates, F features, L features that are counted.
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
from raconteur.types import FloatArray

FILE = "linked.json"
FEATURES = ("reasoner", "ease", "markov", "takes")
REASONER = "reasoner"  # folder of the Reasoner inside; each count has one of its own name


@dataclass(frozen=True)
class Links:
    """The counts, all of one catalogue."""

    ease: Ease
    markov: Markov  # discounted
    takes: Popularity

    @classmethod
    def fit(cls, sequences: Sequence[Sequence[str]], item_ids: Sequence[str]) -> "Links":
        """
        Args:
            sequences: items taken by each user, oldest first.
        """
        return cls(
            Ease.fit(sequences, item_ids),
            Markov.fit(sequences, item_ids, discount_popular=True),
            Popularity.fit(sequences, item_ids),
        )

    def score(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> FloatArray:
        """What each count says [B, N, L]; nothing, 0, of an item that it does not know."""
        taken = [mentioned(text) for text in texts]
        ease_BN, markov_BN, takes_BN = (
            score_candidates(part, taken, candidates) for part in (self.ease, self.markov, self.takes)
        )
        return np.nan_to_num(np.stack([ease_BN, markov_BN, np.log1p(takes_BN)], axis=2), nan=0.0)

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
        return cls(Ease.load(folder / "ease"), Markov.load(folder / "markov"), Popularity.load(folder / "takes"))


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
            ArtifactError: the folder holds no Reasoner with counts, or one of its weights is no number.
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
    return np.concatenate([judged_BN[:, :, None], links.score(texts, candidates)], axis=2)
