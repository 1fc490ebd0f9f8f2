from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.data.dataset import ITEMS
from raconteur.errors import DataError
from raconteur.guard.rules import Catalogue, Wanted


def table(*rows):
    """Rows of (id, categories, released, available, price)."""
    return pl.DataFrame(
        [
            {
                "item_id": item_id,
                "title": item_id,
                "description": None,
                "categories": categories,
                "released": released,
                "available": available,
                "attributes": [{"key": "seller", "value": "5"}, {"key": "price", "value": price}] if price else [],
            }
            for item_id, categories, released, available, price in rows
        ],
        schema=ITEMS,
    )


FILMS = table(
    ("heat", ["Crime", "Drama"], date(1995, 12, 15), True, "9.50"),
    ("alien", ["Horror"], date(1979, 5, 25), True, " 12 "),
    ("straße", ["DRAMA", "Straße"], None, True, None),
    ("brazil", ["Comedy"], date(1985, 2, 20), False, "free"),
    ("blank", None, date(2000, 1, 1), True, "nan"),
)


def shown(wanted, items=FILMS):
    catalogue = Catalogue.of(items)
    return [item_id for item_id, allowed in zip(items["item_id"], catalogue.allowed(wanted), strict=True) if allowed]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["heat", "alien", "straße", "blank"]),
        ({"available": False}, ["heat", "alien", "straße", "brazil", "blank"]),
        ({"categories": frozenset({"drama"})}, ["heat", "straße"]),
        ({"categories": frozenset({"STRASSE", "horror"})}, ["alien", "straße"]),
        ({"categories": frozenset({"western"})}, []),
        ({"not_categories": frozenset({"DRAMA", "western"})}, ["alien", "blank"]),
        ({"categories": frozenset({"drama"}), "not_categories": frozenset({"crime"})}, ["straße"]),
        ({"min_price": 9.5}, ["heat", "alien"]),  # inclusive; no price, no number and NaN do not pass
        ({"max_price": 9.5}, ["heat"]),
        ({"min_price": 10.0, "max_price": 11.0}, []),
        ({"released_from": date(1995, 12, 15)}, ["heat", "blank"]),
        ({"released_to": date(1979, 5, 25)}, ["alien"]),
        ({"excluded": frozenset({"heat", "ghost"})}, ["alien", "straße", "blank"]),
    ],
)
def test_allowed_each_limit_by_itself(wanted, expected):
    assert shown(Wanted(**wanted)) == expected


@pytest.mark.parametrize(
    ("item_id", "wanted", "rule"),
    [
        ("heat", {}, None),
        ("ghost", {}, "not in the catalogue"),
        ("brazil", {}, "not available"),
        ("heat", {"excluded": frozenset({"heat"})}, "excluded by the request"),
        ("alien", {"categories": frozenset({"drama"})}, "of none of the wanted categories"),
        ("heat", {"not_categories": frozenset({"crime"})}, "of an unwanted category"),
        ("straße", {"min_price": 1.0}, "price below the minimum or unknown"),
        ("alien", {"max_price": 11.0}, "price above the maximum or unknown"),
        ("alien", {"released_from": date(1990, 1, 1)}, "released too early or unknown"),
        ("straße", {"released_to": date(1990, 1, 1)}, "released too late or unknown"),
    ],
)
def test_why_not_names_the_rule(item_id, wanted, rule):
    assert Catalogue.of(FILMS).why_not(item_id, Wanted(**wanted)) == rule


def test_allowed_follows_the_order_asked_for_and_unknown_ids_never_pass():
    catalogue = Catalogue.of(FILMS, ["ghost", "alien", "heat"])
    assert catalogue.allowed(Wanted(available=False)).tolist() == [False, True, True]
    assert catalogue.allowed(Wanted(categories=frozenset({"crime"}))).tolist() == [False, False, True]
    assert catalogue.why_not("ghost", Wanted(available=False)) == "not in the catalogue"


def test_allowed_is_the_callers_own_array():
    catalogue = Catalogue.of(FILMS)
    catalogue.allowed(Wanted())[:] = False
    assert catalogue.allowed(Wanted()).any()


def test_catalogue_reads_attributes_as_the_file_holds_them(tmp_path):
    mapped = FILMS.with_columns(pl.col("attributes").cast(pl.Map(pl.String, pl.String)))
    mapped.write_parquet(tmp_path / "items.parquet")
    assert shown(Wanted(min_price=10.0), pl.read_parquet(tmp_path / "items.parquet")) == ["alien"]


def test_catalogue_without_a_column_or_with_an_id_twice_is_refused():
    with pytest.raises(DataError, match="lacks released, attributes"):
        Catalogue.of(FILMS.drop("released", "attributes"))
    with pytest.raises(DataError, match="twice"):
        Catalogue.of(pl.concat([FILMS, FILMS]))
    with pytest.raises(DataError, match="twice"):
        Catalogue.of(FILMS, ["heat", "heat"])


NAMES = st.sampled_from(["Drama", "drama", "Crime", "Sci-Fi"])
DAYS = st.none() | st.integers(0, 30).map(lambda days: date(2000, 1, 1) + timedelta(days=days))
PRICES = st.none() | st.sampled_from(["1", "2.5", "4", "much"])
ROWS = st.lists(st.tuples(st.none() | st.lists(NAMES, max_size=3), DAYS, st.booleans(), PRICES), min_size=1, max_size=6)
LIMITS = st.builds(
    Wanted,
    categories=st.frozensets(NAMES, max_size=2),
    not_categories=st.frozensets(NAMES, max_size=1),
    min_price=st.none() | st.floats(0, 5),
    max_price=st.none() | st.floats(0, 5),
    released_from=DAYS,
    released_to=DAYS,
    available=st.booleans(),
    excluded=st.frozensets(st.sampled_from("01z"), max_size=2),
)


def by_hand(item_id, names, released, available, price, wanted):
    """The rules once more, an item at a time."""
    folded = {name.casefold() for name in names or ()}
    number = float(price) if price not in (None, "much") else None
    return (
        item_id not in wanted.excluded
        and (available or not wanted.available)
        and (not wanted.categories or bool(folded & {name.casefold() for name in wanted.categories}))
        and not folded & {name.casefold() for name in wanted.not_categories}
        and (wanted.min_price is None or (number is not None and number >= wanted.min_price))
        and (wanted.max_price is None or (number is not None and number <= wanted.max_price))
        and (wanted.released_from is None or (released is not None and released >= wanted.released_from))
        and (wanted.released_to is None or (released is not None and released <= wanted.released_to))
    )


@given(ROWS, LIMITS)
def test_allowed_any_limits_agree_with_the_rules_by_hand_and_with_why_not(rows, wanted):
    numbered = [(str(number), *row) for number, row in enumerate(rows)]
    catalogue = Catalogue.of(table(*numbered))
    allowed = catalogue.allowed(wanted).tolist()
    assert allowed == [by_hand(*row, wanted) for row in numbered]
    assert allowed == [catalogue.why_not(row[0], wanted) is None for row in numbered]
    assert hash(wanted) == hash(Wanted(**{name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}))


@given(ROWS, LIMITS, LIMITS)
def test_allowed_a_further_limit_never_lets_more_through(rows, wanted, other):
    catalogue = Catalogue.of(table(*((str(number), *row) for number, row in enumerate(rows))))
    both = Wanted(
        categories=wanted.categories,
        not_categories=wanted.not_categories | other.not_categories,
        min_price=max((price for price in (wanted.min_price, other.min_price) if price is not None), default=None),
        max_price=wanted.max_price,
        released_from=wanted.released_from,
        released_to=wanted.released_to,
        available=wanted.available or other.available,
        excluded=wanted.excluded | other.excluded,
    )
    assert not np.any(catalogue.allowed(both) & ~catalogue.allowed(wanted))
