"""The page of full ranking, on a very small world."""

import json

import pytest

from raconteur.data.dataset import load_dataset
from raconteur.errors import ConfigError
from raconteur.retrieve.load import load_retriever
from raconteur.train.ablate.ranking import describe, select, write_page
from raconteur.train.examples import training_log


def test_ranking_page_shows_every_part_fitted_twice_under_the_same_weights(ablation):
    found = ablation()
    (models,) = chosen = select(found, ["tiny/0"])
    assert "tiny/0  retrieval-refit: to do" in describe(chosen)
    page = write_page(chosen, found.workdir, command="raconteur ranking").read_text()
    assert "to do" not in describe(chosen)
    before, refitted = (load_retriever(one.folder) for one in (models.retrieval, models.retrieval_refit))
    assert list(before.parts) == list(refitted.parts)
    assert before.weights.tolist() == refitted.weights.tolist()
    for name in (*before.parts, "fused", "sequential"):
        assert f"\n| {name} |" in page
    assert "fitted before validation" in page
    assert "fitted before the test" in page


def test_ranking_parts_before_the_test_counted_one_take_more_a_user(ablation):
    found = ablation()
    (models,) = select(found, ["*"])
    write_page([models], found.workdir, command="raconteur ranking")
    dataset = load_dataset(models.data.folder)
    lengths = [sum(map(len, training_log(dataset, before=split).sequences)) for split in ("validation", "test")]
    users = dataset.split["user_id"].n_unique()
    assert lengths[0] < lengths[1] <= lengths[0] + users
    curves = [
        json.loads((one.folder / "curves.json").read_text()) for one in (models.sequential, models.sequential_refit)
    ]
    assert curves[0]["loss"] != curves[1]["loss"]


def test_ranking_select_pattern_that_fits_nothing_is_refused(ablation):
    with pytest.raises(ConfigError, match="there are tiny/0"):
        select(ablation(), ["mars/*"])
