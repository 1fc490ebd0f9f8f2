"""Fixed candidate lists for Choose 1 of N: the true item among negatives that the user never touched.

Drawn once per data set and seed; every model is measured on the same lists. Negatives are drawn without
replacement by the exponential-keys form of weighted sampling (Efraimidis and Spirakis, 2006): item i gets the key
Exp(1) / weight_i and the smallest keys win, which is one vectorised pass over users and items. `retrieved` negatives
are drawn from a ranking instead (`retrieved`).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur import columns
from raconteur.data.dataset import CANDIDATES
from raconteur.data.retrieved import FitRetriever, draw_retrieved
from raconteur.data.splits import training_events
from raconteur.data.takes import take_sequences, takes_before
from raconteur.errors import DataError
from raconteur.types import Retriever

NegativeKind = Literal["popularity", "uniform", "retrieved"]
NEVER_TAKEN = 1e-9  # weight of an item without a training target: drawn only when all others are used up
BLOCK_CELLS = 4_000_000  # keys in memory at a time


def draw_candidates(
    events: pl.DataFrame,
    items: pl.DataFrame,
    split: pl.DataFrame,
    *,
    users: pl.Series,
    num_candidates: int,
    kinds: Sequence[NegativeKind],
    seed: int,
    fit_retriever: FitRetriever | None = None,
) -> pl.DataFrame:
    """One list per kind of negatives and target of the named users.

    Args:
        events: the whole prepared log: its later events count as touched, its training part as popularity.
        split: the targets of all users, since they say what is training.
        users: those to draw for.
        num_candidates: N, the truth included; its place is uniform.
        fit_retriever: fits the model that ranks for `retrieved`, on the training takes of all users.

    Returns:
        Candidate lists in the order of `split`, kind after kind. A user who left too few available items untouched
        has no list; compare the heights to see how many.

    Raises:
        DataError: no user has enough untouched items, or there is nothing to retrieve `retrieved` negatives with.
    """
    pool = items.filter(columns.AVAILABLE)[columns.ITEM_ID].sort()
    counts = _training_counts(events, split, pool)
    wanted = split.filter(pl.col(columns.USER_ID).is_in(users.implode()))
    touched = _touched(events, wanted, pool)
    drawn = []
    for kind in kinds:
        # A generator a kind: adding a kind leaves the lists of the others as they are.
        rng = np.random.default_rng([seed, num_candidates, *kind.encode()])
        if kind == "retrieved":
            retriever = _fit(fit_retriever, training_events(events, split), pool)
            negatives, is_full = draw_retrieved(
                retriever, takes_before(events, wanted), touched, _places(wanted, pool), num_candidates - 1, rng
            )
        else:
            weights = np.maximum(counts, NEVER_TAKEN) if kind == "popularity" else np.ones(len(pool))
            negatives, is_full = _draw(weights, touched, num_candidates - 1, rng)
        truths = rng.integers(0, num_candidates, size=wanted.height)
        drawn.append(_lists(wanted, pool, negatives, truths, kind).filter(pl.Series(is_full, dtype=pl.Boolean)))
    lists = pl.concat(drawn) if drawn else pl.DataFrame(schema=CANDIDATES)
    if wanted.height and lists.is_empty():
        raise DataError(
            f"no user left {num_candidates - 1} of {len(pool)} available items untouched; lower evaluate.num_candidates"
        )
    return lists


def _fit(fit_retriever: FitRetriever | None, training: pl.DataFrame, pool: pl.Series) -> Retriever:
    if fit_retriever is None:
        raise DataError("evaluate.negatives asks for retrieved ones; prepare needs fit_retriever to rank them with")
    return fit_retriever(take_sequences(training), pool.to_list())


def sample_users(user_ids: pl.Series, max_users: int | None, seed: int) -> pl.Series:
    """A seeded sample of the distinct users, sorted; all of them if there are no more than `max_users`."""
    users = user_ids.unique().sort()
    if max_users is None or len(users) <= max_users:
        return users
    picked = np.random.default_rng(seed).choice(len(users), size=max_users, replace=False)
    return users.gather(np.sort(picked))


def _touched(events: pl.DataFrame, split: pl.DataFrame, pool: pl.Series) -> list[npt.NDArray[np.int64]]:
    """For each row of `split`, the places in the pool of all items that its user ever touched."""
    places = pl.DataFrame({columns.ITEM_ID: pool}).with_row_index("place").cast({"place": pl.Int64})
    by_user = (
        events.select(columns.USER_ID, columns.ITEM_ID)
        .join(split.select(columns.USER_ID).unique(), on=columns.USER_ID, how="semi")
        .unique()
        .join(places, on=columns.ITEM_ID)
        .group_by(columns.USER_ID)
        .agg("place")
    )
    touched = split.select(columns.USER_ID).join(by_user, on=columns.USER_ID, how="left", maintain_order="left")
    return [row.to_numpy() if row is not None else np.empty(0, np.int64) for row in touched["place"]]


def _places(wanted: pl.DataFrame, pool: pl.Series) -> npt.NDArray[np.int64]:
    """Place of each true item in the pool; -1 for an item that is not available."""
    places = pl.DataFrame({columns.ITEM_ID: pool}).with_row_index("place")
    joined = wanted.select(columns.ITEM_ID).join(places, on=columns.ITEM_ID, how="left", maintain_order="left")
    return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _training_counts(events: pl.DataFrame, split: pl.DataFrame, pool: pl.Series) -> npt.NDArray[np.float64]:
    counts = training_events(events, split).filter(columns.IS_TARGET).group_by(columns.ITEM_ID).len("count")
    joined = pl.DataFrame({columns.ITEM_ID: pool}).join(counts, on=columns.ITEM_ID, how="left", maintain_order="left")
    return joined["count"].fill_null(0).cast(pl.Float64).to_numpy()


def _draw(
    weights: npt.NDArray[np.float64],
    touched: Sequence[npt.NDArray[np.int64]],
    num_negatives: int,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places [rows, num_negatives], in the order in which they were drawn, and whether a row could be filled."""
    drawn = np.zeros((len(touched), num_negatives), dtype=np.int64)
    if len(weights) < num_negatives:
        return drawn, np.zeros(len(touched), dtype=bool)
    is_full = np.array([len(weights) - len(row) >= num_negatives for row in touched], dtype=bool)
    block = max(1, BLOCK_CELLS // len(weights))
    scale = (1.0 / weights).astype(np.float32)
    for begin in range(0, len(touched), block):
        rows = touched[begin : begin + block]
        keys = rng.standard_exponential((len(rows), len(weights)), dtype=np.float32) * scale
        keys[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), np.concatenate(rows)] = np.inf
        smallest = np.argpartition(keys, num_negatives - 1, axis=1)[:, :num_negatives]
        order = np.argsort(np.take_along_axis(keys, smallest, axis=1), axis=1)
        drawn[begin : begin + block] = np.take_along_axis(smallest, order, axis=1)
    return drawn, is_full


def _lists(
    split: pl.DataFrame, pool: pl.Series, negatives: npt.NDArray[np.int64], truths: npt.NDArray[np.int64], kind: str
) -> pl.DataFrame:
    """Puts the true item at its place among the negatives."""
    num_rows, num_negatives = negatives.shape
    others = pool.gather(negatives.ravel()).to_numpy().reshape(num_rows, num_negatives)
    lists = np.empty((num_rows, num_negatives + 1), dtype=object)
    is_truth = np.arange(num_negatives + 1) == truths[:, None]
    lists[is_truth] = split[columns.ITEM_ID].to_numpy()
    lists[~is_truth] = others.ravel()
    return split.select(
        columns.USER_ID,
        columns.SPLIT,
        pl.lit(kind).alias(columns.NEGATIVES),
        columns.ITEM_ID,
        pl.Series(columns.CANDIDATES, lists.tolist(), dtype=pl.List(pl.String)),
        pl.Series(columns.TRUTH, truths, dtype=pl.Int64),
    )
