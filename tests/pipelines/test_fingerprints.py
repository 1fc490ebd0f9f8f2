import os

import pytest

from pipelines.fingerprints import code_fingerprint, source_fingerprint
from raconteur.config.schema import Config


def movielens(path) -> Config:
    return Config.model_validate({"data": {"layout": "movielens", "path": str(path)}})


@pytest.fixture
def log(tmp_path):
    (tmp_path / "ratings.csv").write_text("1,2,3\n")
    (tmp_path / "movies.csv").write_text("2,Heat\n")
    return tmp_path


def test_source_fingerprint_same_files_is_the_same(log):
    assert source_fingerprint(movielens(log)) == source_fingerprint(movielens(log))


def test_source_fingerprint_grown_file_differs(log):
    before = source_fingerprint(movielens(log))
    with (log / "ratings.csv").open("a") as file:
        file.write("1,3,5\n")
    assert source_fingerprint(movielens(log)) != before


def test_source_fingerprint_file_of_same_size_written_again_differs(log):
    before = source_fingerprint(movielens(log))
    facts = (log / "ratings.csv").stat()
    os.utime(log / "ratings.csv", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))
    assert source_fingerprint(movielens(log)) != before


def test_source_fingerprint_world_follows_its_settings_only():
    plain = Config()
    assert source_fingerprint(plain) == source_fingerprint(Config.model_validate({"seed": 5}))
    assert source_fingerprint(plain) != source_fingerprint(Config.model_validate({"world": {"seed": 8}}))


def test_source_fingerprint_remote_log_follows_its_settings():
    one, two = movielens("s3://bucket/one"), movielens("s3://bucket/two")
    assert source_fingerprint(one) != source_fingerprint(two)


def test_code_fingerprint_is_stable_within_a_program():
    assert code_fingerprint() == code_fingerprint()
    assert len(code_fingerprint()) == 12
