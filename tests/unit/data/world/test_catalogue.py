from datetime import date

import numpy as np
import pytest

from raconteur.config.schema import WorldConfig
from raconteur.data.world.catalogue import make_catalogue
from raconteur.data.world.space import make_basis
from raconteur.data.world.streams import draw_weighted, stream
from raconteur.data.world.titles import item_texts
from raconteur.data.world.vocabulary import GENRES, MOODS, NOUNS


def test_basis_genres_are_orthonormal() -> None:
    genres = make_basis(7).genres
    np.testing.assert_allclose(genres @ genres.T, np.eye(len(GENRES)), atol=1e-4)


def test_catalogue_items_lie_near_their_genres() -> None:
    basis = make_basis(7)
    catalogue = make_catalogue(WorldConfig(num_items=300), basis)
    closeness = catalogue.vectors @ basis.genres.T
    np.testing.assert_allclose(np.linalg.norm(catalogue.vectors, axis=1), 1, atol=0.01)
    assert catalogue.is_genre.sum(axis=1).min() >= 1
    assert catalogue.is_genre.sum(axis=1).max() <= 3
    own = catalogue.is_genre[np.arange(300), closeness.argmax(axis=1)]
    assert own.mean() > 0.9


def test_catalogue_text_names_genre_mood_and_kind() -> None:
    table = make_catalogue(WorldConfig(num_items=200), make_basis(7)).table
    for row in table.iter_rows(named=True):
        facts = {pair["key"]: pair["value"] for pair in row["attributes"]}
        text = row["description"]
        assert row["categories"][0].lower() in text
        assert facts["mood"].split(", ")[0] in text.lower()
        assert f" {facts['kind']}" in text
        assert ("seasons" in facts) == (facts["kind"] == "series")
        assert set(facts["mood"].split(", ")) <= set(MOODS)


def test_catalogue_releases_are_mostly_old_and_none_before_its_prequel() -> None:
    table = make_catalogue(WorldConfig(num_items=500), make_basis(7)).table
    released = dict(table.select("title", "released").iter_rows())
    assert 0.03 < sum(day > date(2025, 1, 6) for day in released.values()) / 500 < 0.25
    sequels = [title for title in released if title.endswith(" 2")]
    assert len(sequels) > 20
    assert all(released[title] >= released[title.removesuffix(" 2")] for title in sequels)


def test_titles_more_items_than_short_titles_stay_unique() -> None:
    count = 30_000
    genres, moods = [["Western"]] * count, [["tender"]] * count
    titles, _ = item_texts(stream(1, "titles"), ["film"] * count, genres, moods, prequels=[-1] * count, taken=set())
    assert len(set(titles)) == count


def test_titles_sequels_count_up_and_use_the_genre() -> None:
    titles, _ = item_texts(
        stream(1, "titles"),
        ["film"] * 3,
        [["Horror"]] * 3,
        [["bleak"]] * 3,
        prequels=[-1, 0, 1],
        taken=set(),
    )
    assert titles[1:] == [f"{titles[0]} 2", f"{titles[0]} 3"]
    assert any(noun in titles[0] for noun in NOUNS["Horror"])


def test_draw_weighted_follows_weights_and_never_draws_zero() -> None:
    drawn = draw_weighted(stream(1, "any"), np.array([1.0, 0.0, 3.0]), 4000)
    shares = np.bincount(drawn, minlength=3) / 4000
    assert shares[1] == 0
    assert shares[2] == pytest.approx(0.75, abs=0.03)
