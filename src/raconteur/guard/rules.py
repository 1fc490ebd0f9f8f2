"""What a request allows to be shown: limits of category, price, date and availability, over a whole catalogue at once.

The catalogue is turned into columns once a version; a request's limits are then a few array operations, a fraction of
a millisecond for thousands of items. The HTTP form of the limits is `Filters` in serving.
Axis letters: V items, in the order of the retriever's scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from raconteur.columns import ATTRIBUTES, AVAILABLE, CATEGORIES, ITEM_ID, RELEASED
from raconteur.data.dataset import STRING_MAP
from raconteur.errors import DataError

BoolArray = npt.NDArray[np.bool_]
PRICE = "price"  # the attribute that holds it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Limits of one request; everything that is given must hold. Hashable, so that it can be part of a cache key."""

    categories: frozenset[str] = frozenset()  # one of these at least; empty: any. Upper and lower case are the same
    not_categories: frozenset[str] = frozenset()  # none of these
    min_price: float | None = None
    max_price: float | None = None  # inclusive, as all limits
    released_from: date | None = None
    released_to: date | None = None
    available: bool = True  # False: also what cannot be had now
    excluded: frozenset[str] = frozenset()  # item ids


@dataclass(frozen=True, eq=False, slots=True)
class Catalogue:
    """What the rules look at, by column."""

    index: Mapping[str, int]  # item id to its place
    known: BoolArray  # [V], False: a model knows the item, the catalogue does not
    available: BoolArray  # [V]
    price: npt.NDArray[np.float64]  # [V], NaN: unknown
    released: npt.NDArray[np.datetime64]  # [V], days; NaT: unknown
    categories: Mapping[str, npt.NDArray[np.int64]]  # case-folded name to the places of its items

    @classmethod
    def of(cls, items: pl.DataFrame, order: Sequence[str] | None = None) -> "Catalogue":
        """
        Args:
            items: the catalogue's table (`data.dataset.ITEMS`); a price that is no finite number is unknown.
            order: item ids in the order of the arrays, such as a retriever's; None: the table's own. An id that the
                table does not hold passes no limits.

        Raises:
            DataError: a column is missing, or an id stands twice in the table or in `order`.
        """
        rows = _rows(items, items[ITEM_ID].to_list() if order is None else order)
        return cls(
            index={item_id: place for place, item_id in enumerate(rows[ITEM_ID].to_list())},
            known=rows["known"].to_numpy(),
            available=rows[AVAILABLE].to_numpy(),
            price=rows[PRICE].to_numpy(),
            released=rows[RELEASED].to_numpy().astype("datetime64[D]"),
            categories=_places(rows[CATEGORIES]),
        )

    def allowed(self, wanted: Wanted) -> BoolArray:
        """Which items may be shown [V]; the caller's own array."""
        allowed_V = self.known.copy()
        for _, passes_V in self._rules(wanted):
            allowed_V &= passes_V
        return allowed_V

    def why_not(self, item_id: str, wanted: Wanted) -> str | None:
        """The first rule that an item breaks, in words without text of the request; None: it may be shown."""
        place = self.index.get(item_id)
        if place is None or not self.known[place]:
            return "not in the catalogue"
        return next((rule for rule, passes_V in self._rules(wanted) if not passes_V[place]), None)

    def _rules(self, wanted: Wanted) -> Iterator[tuple[str, BoolArray]]:
        """Each rule that the request sets, and which items keep it; an unknown value keeps no limit on it."""
        if wanted.excluded:
            yield "excluded by the request", ~self._among(self.index.get(item_id) for item_id in wanted.excluded)
        if wanted.available:
            yield "not available", self.available
        if wanted.categories:
            yield "of none of the wanted categories", self._of_any(wanted.categories)
        if wanted.not_categories:
            yield "of an unwanted category", ~self._of_any(wanted.not_categories)
        # NaN and NaT compare as False with everything.
        if wanted.min_price is not None:
            yield "price below the minimum or unknown", self.price >= wanted.min_price
        if wanted.max_price is not None:
            yield "price above the maximum or unknown", self.price <= wanted.max_price
        if wanted.released_from is not None:
            yield "released too early or unknown", self.released >= np.datetime64(wanted.released_from)
        if wanted.released_to is not None:
            yield "released too late or unknown", self.released <= np.datetime64(wanted.released_to)

    def _of_any(self, names: frozenset[str]) -> BoolArray:
        passes_V = np.zeros(len(self.known), dtype=bool)
        for name in names:
            if (places := self.categories.get(name.casefold())) is not None:
                passes_V[places] = True
        return passes_V

    def _among(self, places: Iterator[int | None]) -> BoolArray:
        found_V = np.zeros(len(self.known), dtype=bool)
        found_V[[place for place in places if place is not None]] = True
        return found_V


def _rows(items: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """One row an id of `order`, with `known` and a price."""
    needed = (ITEM_ID, CATEGORIES, RELEASED, AVAILABLE, ATTRIBUTES)
    if missing := [name for name in needed if name not in items.columns]:
        raise DataError(f"the catalogue lacks {', '.join(missing)}; read it with data.dataset.read_table")
    if items[ITEM_ID].n_unique() < items.height or len(set(order)) < len(order):
        raise DataError("an item id stands twice in the catalogue or in the order asked for; give each once")
    # A file holds attributes as a map, a frame as a list of pairs: this is one form for both.
    pairs = pl.col(ATTRIBUTES).cast(STRING_MAP)
    number = pairs.list.eval(pl.element().struct["value"].filter(pl.element().struct["key"] == PRICE)).list.first()
    price = number.str.strip_chars().cast(pl.Float64, strict=False)
    facts = items.select(
        pl.col(ITEM_ID),
        pl.col(CATEGORIES).cast(pl.List(pl.String)),
        pl.col(RELEASED).cast(pl.Date),
        pl.col(AVAILABLE).cast(pl.Boolean),
        pl.when(price.is_finite()).then(price).otherwise(None).alias(PRICE),
        pl.lit(True).alias("known"),
    )
    asked = pl.DataFrame({ITEM_ID: list(order)}, schema={ITEM_ID: pl.String})
    found = asked.join(facts, on=ITEM_ID, how="left", maintain_order="left")
    return found.with_columns(pl.col("known", AVAILABLE).fill_null(value=False), pl.col(PRICE).fill_null(float("nan")))


def _places(categories: pl.Series) -> dict[str, npt.NDArray[np.int64]]:
    """Places of the items of each category; case is folded as Python does it, which knows more than lower case."""
    places: dict[str, list[int]] = {}
    for place, names in enumerate(categories.to_list()):
        for name in names or ():
            if name is not None:
                places.setdefault(name.casefold(), []).append(place)
    return {name: np.array(rows, dtype=np.int64) for name, rows in places.items()}
