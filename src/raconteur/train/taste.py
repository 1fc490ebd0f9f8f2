"""Whom an item suits, learned from a teacher over many items at once, where one list of candidates says little.

A teacher scores every item by its state after a history: the Reasoner learns it from the sequential model, a student
from the Reasoner. Its states are computed once.
Axis letters: B texts of a batch, L positions, W width, E texts, V items, K items drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raconteur.reason.choice import ChoiceModel
from raconteur.train.losses import softened_divergence
from raconteur.types import FloatArray

TAUGHT_ITEMS = 256  # a batch


@dataclass(frozen=True, eq=False)
class Taste:
    """Scores of a teacher: its states times its items, plus an offset an item."""

    states_EW: Tensor
    items_VW: Tensor
    offset_V: Tensor
    tokens_V: Tensor  # of the items, as the learner reads them
    share_V: FloatArray | None = None  # how often each item is drawn; None: all alike

    def __call__(
        self, model: ChoiceModel, states_BLW: Tensor, choose_B: Tensor, rows_B: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Mean divergence from the teacher, in nats, over items drawn for the batch.

        Args:
            states_BLW, choose_B: of the learner, which scores where the text ends.
            rows_B: the texts' rows among the teacher's states.
        """
        drawn_K = torch.from_numpy(self._draw(rng))
        taught_BK = self.states_EW[rows_B] @ self.items_VW[drawn_K].T + self.offset_V[drawn_K]
        return softened_divergence(model.suits(states_BLW, choose_B, self.tokens_V[drawn_K]), taught_BK, 1.0).mean()

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        num_items = len(self.tokens_V)
        if self.share_V is None:
            return rng.permutation(num_items)[:TAUGHT_ITEMS]
        return rng.choice(num_items, size=min(TAUGHT_ITEMS, num_items), replace=False, p=self.share_V)
