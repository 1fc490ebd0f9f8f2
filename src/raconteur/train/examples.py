"""What models are trained on: the takes of each user before the validation target, and negatives drawn against them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur import columns as c
from raconteur.config.schema import Config
from raconteur.data.dataset import Dataset
from raconteur.data.splits import VALIDATION, training_events
from raconteur.errors import DataError
from raconteur.represent.facts import Facts
from raconteur.types import Item

IntArray = npt.NDArray[np.int64]

NEVER_TAKEN = 1e-3  # takes that an item without any counts for
TOUCHED = 1e6  # far below any log share


@dataclass(frozen=True)
class TrainingLog:
    """The part of a data set that training may see.

    Attributes:
        events: all events before each user's validation target (or, where asked for, test target).
        targets: its takes: user_id, position, item_id, discovery.
        sequences: items taken by each user, oldest first, repeats in a row written once.
    """

    events: pl.DataFrame
    targets: pl.DataFrame
    sequences: list[list[str]]
    sequence_times: list[list[datetime]]  # beside `sequences`


def training_log(dataset: Dataset, *, before: str = VALIDATION) -> TrainingLog:
    """
    Args:
        before: the split whose targets end it. What is fitted up to the test targets has seen the validation ones, so
            no weight or threshold may be chosen by it.

    Raises:
        DataError: no user has a target to learn from.
    """
    events = training_events(dataset.events, dataset.split, before=before)
    first_touch = pl.col(c.POSITION) == pl.col(c.POSITION).min().over(c.USER_ID, c.ITEM_ID)
    takes = events.with_columns(first_touch.alias(c.DISCOVERY)).filter(c.IS_TARGET)
    if takes.is_empty():
        raise DataError(f"no event of the log is a target before {before}; check data.targets and data.min_value")
    changed = pl.col(c.ITEM_ID) != pl.col(c.ITEM_ID).shift(1).over(c.USER_ID)
    grouped = (
        takes.filter(changed.fill_null(True)).group_by(c.USER_ID, maintain_order=True).agg(c.ITEM_ID, c.EVENT_TIME)
    )
    return TrainingLog(
        events=events,
        targets=takes.select(c.USER_ID, c.POSITION, c.ITEM_ID, c.DISCOVERY),
        sequences=grouped[c.ITEM_ID].to_list(),
        sequence_times=grouped[c.EVENT_TIME].to_list(),
    )


def catalogue(dataset: Dataset) -> dict[str, Item]:
    """Items by id, in the order of the table."""
    rows = dataset.items.select(c.ITEM_ID, c.TITLE, c.CATEGORIES, c.DESCRIPTION, c.RELEASED, c.AVAILABLE).iter_rows()
    return {
        item_id: Item(item_id, title or item_id, tuple(categories or ()), description, released, bool(available))
        for item_id, title, categories, description, released, available in rows
    }


def facts_of(items: Mapping[str, Item], config: Config) -> Facts:
    """What texts may state about these items."""
    return Facts({item_id: item.categories for item_id, item in items.items()}, config.data)


def choices(dataset: Dataset, split: str, negatives: str) -> pl.DataFrame:
    """The fixed candidate lists of a split, with position, discovery and num_targets of their targets."""
    targets = dataset.split.drop(c.ITEM_ID)
    return dataset.candidates.filter((pl.col(c.SPLIT) == split) & (pl.col(c.NEGATIVES) == negatives)).join(
        targets, on=[c.USER_ID, c.SPLIT], how="inner", maintain_order="left"
    )


class NegativeSampler:
    """Draws unseen items in proportion to how often they are taken, without replacement (Gumbel top-k).

    Only for a user who has touched nearly the whole catalogue do touched items fill the list.

    Attributes:
        counts_V: takes of each item.
    """

    def __init__(self, log: TrainingLog, item_ids: tuple[str, ...]) -> None:
        index = {item_id: number for number, item_id in enumerate(item_ids)}
        self.users = {user: number for number, user in enumerate(log.events[c.USER_ID].unique(maintain_order=True))}
        self.counts_V = np.zeros(len(item_ids))
        np.add.at(self.counts_V, [index[item] for item in log.targets[c.ITEM_ID]], 1.0)
        self._log_share = np.log(self.counts_V + NEVER_TAKEN)
        self._seen = np.zeros((len(self.users), len(item_ids)), dtype=bool)
        rows = [self.users[user] for user in log.events[c.USER_ID]]
        self._seen[rows, [index[item] for item in log.events[c.ITEM_ID]]] = True

    def draw(self, users_B: IntArray, num: int, rng: np.random.Generator) -> IntArray:
        """Item numbers [B, num] that the users never touched.

        Raises:
            DataError: as many are asked for as the catalogue has items.
        """
        if num >= len(self.counts_V):
            raise DataError(
                f"{num} negatives beside a true item, but the catalogue has {len(self.counts_V)} items; training also "
                "draws lists of twice evaluate.num_candidates: lower that"
            )
        keys_BV = self._log_share + rng.gumbel(size=(len(users_B), len(self._log_share)))
        keys_BV[self._seen[users_B]] -= TOUCHED
        return np.argpartition(-keys_BV, num, axis=1)[:, :num]
