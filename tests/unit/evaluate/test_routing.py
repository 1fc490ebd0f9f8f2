import math

import numpy as np
import pytest

from raconteur.errors import ArtifactError, DataError
from raconteur.evaluate.routing import Cost, read_requests

NAN = float("nan")


def row(request_id="a", **changes):
    return {
        "request_id": request_id,
        "user_id": f"user-{request_id}",
        "split": "validation",
        "lists": "served",
        "candidates": ["x", "y", "z"],
        "truth": 0,
        "student": [3.0, 2.0, 1.0],
        "reasoner": [1.0, 2.0, 3.0],
        "middle": None,
        "num_events": 4,
        "num_cold": 0,
        **changes,
    }


def test_read_requests_of_unequal_length_keep_their_quality(tmp_path, write_requests):
    short = row("b", candidates=["x", "y"], truth=1, student=[2.0, 1.0], reasoner=[NAN, NAN], lists="popularity")
    requests = read_requests(write_requests(tmp_path / "requests", [row(), short]))
    # first and second place; the Reasoner's: third, and one of two places at random
    assert requests.ndcg(requests.student_BN) == pytest.approx([1.0, 1 / math.log2(3)])
    assert requests.ndcg(requests.reasoner_BN) == pytest.approx([0.5, (1 + 1 / math.log2(3)) / 2])
    assert requests.recall(requests.reasoner_BN) == pytest.approx([0.0, 0.5])
    assert requests.num_candidates_B.tolist() == [3, 2]
    assert requests.costs["reasoner"] == Cost(ms=10.0, tokens=500, p99_ms=25.0)
    assert requests.versions == {"student": "s1", "reasoner": "r1"}
    assert requests.middle_BN is None


def test_read_requests_truth_outside_the_candidates_earns_nothing(tmp_path, write_requests):
    requests = read_requests(write_requests(tmp_path / "requests", [row(truth=-1)]))
    assert requests.gain().tolist() == [0.0]
    assert requests.recall(requests.student_BN).tolist() == [0.0]


def test_requests_gain_is_the_difference_of_ndcg(tmp_path, write_requests):
    requests = read_requests(write_requests(tmp_path / "requests", [row(), row("b", truth=2)]))
    assert requests.gain() == pytest.approx([-0.5, 0.5])


def test_requests_of_split_and_lists_are_those_rows(tmp_path, write_requests):
    rows = [row(), row("b", split="test"), row("c", lists="popularity", middle=[1.0, 2.0, 3.0])]
    requests = read_requests(write_requests(tmp_path / "requests", rows))
    assert requests.of(split="test", lists="served").request_ids_B.tolist() == ["b"]
    assert len(requests.of(split="test", lists="popularity")) == 0
    assert requests.take(np.array([2, 0])).request_ids_B.tolist() == ["c", "a"]


def test_read_requests_same_id_on_other_lists_is_fine(tmp_path, write_requests):
    assert len(read_requests(write_requests(tmp_path / "requests", [row(), row(lists="popularity")]))) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"truth": 3}, "truth outside"),
        ({"truth": -2}, "truth outside"),
        ({"student": [1.0]}, "another number of scores"),
        ({"middle": [1.0]}, "another number of scores"),
        ({"split": "train"}, "split that is none of"),
        ({"lists": "uniform"}, "lists that are none of"),
        ({"user_id": None}, "empty value"),
        ({"candidates": [], "student": [], "reasoner": []}, "no candidate"),
        ({"num_events": -1}, "negative count"),
        ({"request_id": "a"}, "request_id that another row"),
    ],
)
def test_read_requests_broken_row_is_refused_with_its_place(changes, words, tmp_path, write_requests):
    folder = write_requests(tmp_path / "requests", [row(), row(**{"request_id": "b", **changes})])
    with pytest.raises(DataError, match=words):
        read_requests(folder)


def test_read_requests_changed_file_is_refused(tmp_path, write_requests):
    folder = write_requests(tmp_path / "requests", [row()])
    (folder / "costs.json").write_text("{}")
    with pytest.raises(ArtifactError, match="checksum"):
        read_requests(folder)


@pytest.mark.parametrize("costs", [{}, {"student": {"ms": 1}, "reasoner": {"ms": 0}}, {"student": {}}])
def test_read_requests_without_a_cost_is_refused(costs, tmp_path, write_requests):
    with pytest.raises(DataError, match=r"costs\.json"):
        read_requests(write_requests(tmp_path / "requests", [row()], costs=costs))


def test_read_requests_without_versions_is_refused(tmp_path, write_requests):
    with pytest.raises(DataError, match="versions"):
        read_requests(write_requests(tmp_path / "requests", [row()], versions={"student": "s1"}))
