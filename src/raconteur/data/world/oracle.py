"""The oracle: what each owner of an account truly preferred at a time. Only evaluation may load it.

It reads `truth/` of a world folder; the second person of a household and bots have no preference here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from raconteur.data.world.space import Floats
from raconteur.data.world.streams import START
from raconteur.data.world.viewing import utilities
from raconteur.errors import DataError


@dataclass(frozen=True)
class Oracle:
    """True utilities, which a softmax turns into the odds of a choice among unseen titles."""

    users: Mapping[str, int]
    items: Mapping[str, int]
    tastes: np.ndarray  # float16 [days, users, 16]
    vectors: Floats  # [items, 16]
    appeal: Floats  # [days, items]

    def score(
        self,
        user_ids: Sequence[str],
        times: Sequence[datetime],
        candidates: Sequence[Sequence[str]],
        last_items: Sequence[str | None],
    ) -> np.ndarray:
        """True utility of each candidate [users, candidates], float32.

        Args:
            times: aware datetimes of the choices; times outside the world count as its first or last day.
            last_items: the title that the user intended before, or None at the first choice.

        Returns:
            NaN for an item that the world does not have, minus infinity for one not on offer that day.

        Raises:
            DataError: a user is not of this world.
        """
        rows = zip(user_ids, times, candidates, last_items, strict=True)
        return np.stack([self._score_one(*row) for row in rows]) if user_ids else np.zeros((0, 0), np.float32)

    def _score_one(self, user_id: str, time: datetime, candidates: Sequence[str], last_item: str | None) -> Floats:
        user = self.users.get(user_id)
        if user is None:
            raise DataError(f"the oracle has no user '{user_id}', only the {len(self.users)} of its world folder")
        day = min(max((time - START).days, 0), len(self.tastes) - 1)
        places = np.array([self.items.get(item, -1) for item in candidates])
        last = self.items.get(last_item, -1) if last_item is not None else -1
        last_vector = self.vectors[last] if last >= 0 else np.zeros_like(self.vectors[0])
        taste = self.tastes[day, user].astype(np.float32)
        scores = utilities(taste, self.vectors[places], self.appeal[day, places], last_vector)
        return np.where(places >= 0, scores, np.nan).astype(np.float32)


def load_oracle(folder: Path) -> Oracle:
    """The oracle of the world folder that `write_world` wrote.

    Raises:
        DataError: the folder holds no truth.
    """
    truth = folder / "truth"
    try:
        ids = json.loads((truth / "oracle.json").read_text())
        arrays = {name: np.load(truth / f"{name}.npy", mmap_mode="r") for name in ("tastes", "items", "appeal")}
    except (OSError, ValueError) as error:
        raise DataError(f"{truth} holds no readable truth ({error}); write the world again") from None
    return Oracle(
        users={user: row for row, user in enumerate(ids["user_ids"])},
        items={item: row for row, item in enumerate(ids["item_ids"])},
        tastes=arrays["tastes"],
        vectors=np.asarray(arrays["items"]),
        appeal=np.asarray(arrays["appeal"]),
    )
