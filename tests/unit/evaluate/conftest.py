"""A retriever of four films whose scores stand in its table: a small real thing to evaluate."""

import numpy as np
import pytest


class Tabled:
    """Scores a film by the sum of its links to the films of the history."""

    name = "tabled"
    item_ids = ("alien", "brazil", "clue", "dune")
    links = np.array([[0, 3, 2, 1], [3, 0, 1, 2], [2, 1, 0, 3], [1, 2, 3, 0]], dtype=np.float32)

    def score(self, histories):
        index = {item: column for column, item in enumerate(self.item_ids)}
        rows = [sum((self.links[index[item]] for item in history), np.zeros(4)) for history in histories]
        return np.array(rows, dtype=np.float32).reshape(len(histories), 4)


@pytest.fixture
def tabled():
    return Tabled()
