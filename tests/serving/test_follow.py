import json
import logging

import pytest
from serving_world import load_ranker, write_version

from raconteur.artifacts import Registry
from raconteur.errors import ArtifactError
from serving.follow import Follower


def follow(models):
    return Follower(Registry(models), lambda version: load_ranker(version / "student"))


def damage(models, version):
    (models / version / "student" / "weights.json").write_text("{}")


def point(models, version, previous=None):
    pointer = {"version": version, "since": version, "cause": "test", "previous": previous}
    (models / "champion.json").write_text(json.dumps(pointer))


def test_follow_without_a_champion_says_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match="run `raconteur train` first"):
        follow(tmp_path)


def test_check_same_champion_changes_nothing(tmp_path):
    write_version(tmp_path, "v1").promote("v1", cause="test")
    follower = follow(tmp_path)
    before = follower.current
    assert follower.check() is False
    assert follower.current is before


def test_check_new_champion_is_loaded_and_the_old_one_stays_whole(tmp_path):
    write_version(tmp_path, "v1").promote("v1", cause="test")
    follower = follow(tmp_path)
    old = follower.current
    write_version(tmp_path, "v2", weight=2.0).promote("v2", cause="test")
    assert follower.check() is True
    assert follower.current.version == "v2"
    assert follower.current.parts.score(["war"], [["i1"]]).tolist() == [[2.0]]
    assert old.parts.score(["war"], [["i1"]]).tolist() == [[1.0]]  # a request that began with it ends with it


def test_check_damaged_champion_is_refused_once_and_logged_once(tmp_path, caplog):
    write_version(tmp_path, "v1").promote("v1", cause="test")
    follower = follow(tmp_path)
    write_version(tmp_path, "v2")
    damage(tmp_path, "v2")
    point(tmp_path, "v2", previous="v1")
    with caplog.at_level(logging.ERROR):
        assert [follower.check() for _ in range(3)] == [False] * 3
    assert follower.current.version == "v1"
    assert len(caplog.records) == 1
    assert "does not match its checksum" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"since": "now"}', '{"version": "gone"}'])
def test_check_malformed_pointer_is_survived(tmp_path, text):
    write_version(tmp_path, "v1").promote("v1", cause="test")
    follower = follow(tmp_path)
    (tmp_path / "champion.json").write_text(text)
    assert follower.check() is False
    assert follower.current.version == "v1"


def test_start_damaged_champion_falls_back_to_the_version_before(tmp_path):
    write_version(tmp_path, "v1")
    write_version(tmp_path, "v2")
    damage(tmp_path, "v2")
    point(tmp_path, "v2", previous="v1")
    follower = follow(tmp_path)
    assert follower.current.version == "v1"
    assert follower.check() is False


def test_start_damaged_only_version_is_an_error(tmp_path):
    write_version(tmp_path, "v1")
    damage(tmp_path, "v1")
    point(tmp_path, "v1")
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        follow(tmp_path)
