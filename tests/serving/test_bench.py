import pytest

from serving.load.bench import percentile, routes, stages


def test_percentile_lies_between_neighbours():
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([10.0, 20.0], 0.99) == pytest.approx(19.9)
    assert percentile([7.0], 0.99) == 7.0


def test_stages_take_the_median_over_the_answers_that_went_through_them():
    answers = [{"stage_ms": {"features": 1.0}}, {"stage_ms": {"features": 3.0, "student": 5.0}}]
    assert stages(answers) == "features 2.00, student 5.00"


def test_routes_are_shares_of_all_answers():
    assert routes([{"route": "student"}, {"route": "student"}, {"route": "cold"}]) == "cold 33%, student 67%"
