import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raconteur.artifacts import new_folder
from raconteur.errors import ArtifactError, ConfigError, DataError
from raconteur.retrieve.fusion import FusedRetriever, reciprocal_ranks, standardised
from raconteur.retrieve.load import load_retriever, save
from raconteur.retrieve.popularity import Popularity

ITEMS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Fixed:
    """A part that says the same to everyone."""

    row: tuple[float, ...]
    item_ids: tuple[str, ...] = ITEMS
    name: str = "fixed"

    def score(self, histories):
        return np.tile(np.array(self.row), (len(histories), 1))

    def save(self, folder):
        raise NotImplementedError


def fused(method="learned", weights=(1.0, 1.0), one=(4, 3, 2, 1), two=(1, 4, 3, 2)):
    return FusedRetriever({"one": Fixed(one), "two": Fixed(two)}, np.array(weights), method)


def test_fused_reciprocal_sums_weighted_reciprocal_ranks():
    scores = fused("reciprocal", weights=(1.0, 2.0)).score([[]])[0]
    expected = [1 / 61 + 2 / 64, 1 / 62 + 2 / 61, 1 / 63 + 2 / 62, 1 / 64 + 2 / 63]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_fused_learned_sums_weighted_standard_scores():
    scores = fused(weights=(1.0, 0.5)).score([[]])[0]
    z = (np.array([4, 3, 2, 1]) - 2.5) / np.sqrt(1.25)
    np.testing.assert_allclose(scores, z + 0.5 * z[[3, 0, 1, 2]], rtol=1e-5)


def test_standardised_counted_part_is_a_logarithm():
    scores = np.array([[[0.0, 10.0, 1000.0]]])
    logs = np.log(np.array([0.0, 10.0, 1000.0]) + 0.3 * 1010 / 3)
    expected = (logs - logs.mean()) / logs.std()
    np.testing.assert_allclose(standardised(scores, ["markov"])[0, 0], expected, rtol=1e-5)


@given(arrays(np.float32, (2, 3, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_standardised_any_scores_are_finite_and_centred(scores):
    found = standardised(scores, ["sequential", "markov"])
    assert np.isfinite(found).all()
    assert (np.abs(found.mean(axis=2)) < 1e-3).all()


def test_standardised_scores_that_differ_by_rounding_alone_are_equal():
    counts = np.full((1, 1, 5), 2.220446e-16, np.float32)  # their logarithms are near -27.6
    counts[0, 0, 2] = 1.1e-16
    offset = np.array([[[1e6, 1e6 + 0.125, 1e6, 1e6, 1e6 - 0.125]]], np.float32)
    assert (standardised(counts, ["markov"]) == 0).all()
    assert (standardised(offset, ["sequential"]) == 0).all()


@given(arrays(np.int64, (2, 3, 5), elements=st.integers(0, 1000)), st.floats(0.5, 8.0))
def test_standardised_unit_of_the_scores_does_not_matter(scores, unit):
    names = ["sequential", "markov"]
    np.testing.assert_allclose(standardised(unit * scores, names), standardised(scores, names), atol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_fused_part_without_numbers_has_no_say(bad):
    mute = fused(two=(bad, 4, 3, 2)).score([[]])
    np.testing.assert_allclose(mute, fused(weights=(1.0, 0.0)).score([[]]), rtol=1e-6)


def test_fused_all_scores_equal_is_flat():
    same = {"one": (1, 1, 1, 1), "two": (0, 0, 0, 0)}
    assert len(set(fused(**same).score([[]])[0].tolist())) == 1
    assert len(set(fused("reciprocal", **same).score([[]])[0].tolist())) == 1


def test_reciprocal_ranks_ends_at_the_hundredth_place():
    ranks = reciprocal_ranks(-np.arange(150.0)[None, None])
    assert ranks[0, 0, 99] == pytest.approx(1 / 160)
    assert ranks[0, 0, 100:].tolist() == [0.0] * 50


def test_candidates_are_the_best_unseen_with_the_part_that_ranks_them_best():
    # without b, a is first for "one" and last for "two", c is first for "two"; standard scores 1.34 - 1.21, -.45 + .40
    found = fused(weights=(1.0, 0.9)).candidates([["b"]], [["b"]], 2)[0]
    assert [(candidate.item_id, candidate.source) for candidate in found] == [("a", "one"), ("c", "two")]
    assert found[0].score > found[1].score


def test_candidates_part_of_negative_weight_is_no_source():
    found = fused(weights=(1.0, -0.5)).candidates([[]], [[]], 4)[0]
    assert {candidate.source for candidate in found} == {"one"}


def test_candidates_part_without_numbers_is_no_source():
    found = fused(two=(float("nan"),) * 4).candidates([[]], [[]], 4)[0]
    assert [(candidate.item_id, candidate.source) for candidate in found] == [(item, "one") for item in ITEMS]


@pytest.mark.parametrize(("seen", "left"), [([], 4), (["a", "ghost"], 3), (list(ITEMS), 0)])
def test_candidates_more_than_there_are_gives_what_is_left(seen, left):
    assert [len(row) for row in fused().candidates([[], []], [seen, []], 10)] == [left, 4]


@pytest.mark.parametrize(("seen", "n"), [([], 1), ([[]], 0)])
def test_candidates_bad_input_is_refused(seen, n):
    with pytest.raises(DataError, match="n >= 1"):
        fused().candidates([["a"]], seen, n)


def test_fused_wrong_number_of_weights_is_refused():
    with pytest.raises(ConfigError, match="2 parts and 1 weights"):
        fused(weights=(1.0,))
    with pytest.raises(ConfigError, match="NaN"):
        fused(weights=(1.0, float("nan")))


def test_fused_parts_of_other_catalogues_are_refused():
    with pytest.raises(DataError, match="two know another catalogue"):
        FusedRetriever({"one": Fixed((1, 2, 3, 4)), "two": Fixed((1, 2), ("a", "b"))}, np.ones(2))


def test_load_fused_folder_with_a_missing_part_is_refused(tmp_path):
    with new_folder(tmp_path / "fused") as folder:
        FusedRetriever({"popularity": Popularity.fit([["a"]], ITEMS)}, np.ones(1)).save(folder)
        config = json.loads((folder / "config.json").read_text())
        config["settings"]["parts"].append("ease")
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="is no retriever"):
        load_retriever(tmp_path / "fused")


def test_load_fused_changed_part_is_refused(tmp_path):
    save(FusedRetriever({"popularity": Popularity.fit([["a"]], ITEMS)}, np.ones(1)), tmp_path / "fused")
    (tmp_path / "fused" / "popularity" / "items.json").write_text("[]")
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        load_retriever(tmp_path / "fused")
