"""The answers of light rankers, read back in the order of somebody else's requests."""

import numpy as np
import polars as pl
import pytest

from raconteur.artifacts import new_folder, write_json
from raconteur.errors import ArtifactError, DataError
from raconteur.train.ablate.students_light import ANSWERS, read_answers


@pytest.fixture
def folder(tmp_path):
    with new_folder(tmp_path / "answers", kind="answers") as written:
        table = {"user_id": ["a", "b"], "light": [[1.0, 2.0], [3.0, 4.0]], "light-twin": [[5.0, 6.0], [7.0, 8.0]]}
        pl.DataFrame(table).write_parquet(written / ANSWERS)
        write_json(written / "costs.json", {"light": {"ms": 0.5, "tokens": 7.0}, "reasoner": {"ms": 5.0}})
    return tmp_path / "answers"


def test_read_answers_stand_in_the_order_of_the_users_asked_for(folder):
    answers = read_answers(folder, ["b", "a", "b"])
    np.testing.assert_array_equal(answers.scores["light"], [[3, 4], [1, 2], [3, 4]])
    np.testing.assert_array_equal(answers.scores["light-twin"], [[7, 8], [5, 6], [7, 8]])
    assert (answers.costs["light"].ms, answers.costs["light"].tokens, answers.costs["reasoner"].ms) == (0.5, 7.0, 5.0)


def test_read_answers_user_who_was_not_asked_is_refused(folder):
    with pytest.raises(DataError, match="no answers to 1 users, 'c' first"):
        read_answers(folder, ["a", "c"])


def test_read_answers_changed_file_is_refused(folder):
    (folder / ANSWERS).write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="checksum"):
        read_answers(folder, ["a"])
