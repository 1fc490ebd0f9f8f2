import json

import pytest

from raconteur.artifacts import MANIFEST, Registry, new_folder, verify, write_json
from raconteur.errors import ArtifactError


def make(path, text="hello"):
    with new_folder(path, kind="toy") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "a.txt").write_text(text)


def test_new_folder_finished_block_is_sealed_and_verifies(tmp_path):
    make(tmp_path / "x")
    assert verify(tmp_path / "x")["files"].keys() == {"part/a.txt"}


def test_new_folder_failed_block_leaves_the_old_folder_and_no_rest(tmp_path):
    make(tmp_path / "x")
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "x") as folder:
        (folder / "half" / "missing").write_text("no such folder")
    assert verify(tmp_path / "x")["kind"] == "toy"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("damage", ["change", "remove", "manifest", "garbage"])
def test_verify_damaged_folder_is_refused(tmp_path, damage):
    make(tmp_path / "x")
    target = tmp_path / "x" / "part" / "a.txt"
    {
        "change": lambda: target.write_text("hullo"),
        "remove": target.unlink,
        "manifest": (tmp_path / "x" / MANIFEST).unlink,
        "garbage": lambda: (tmp_path / "x" / MANIFEST).write_text("[1"),
    }[damage]()
    with pytest.raises(ArtifactError):
        verify(tmp_path / "x")


def test_registry_promote_then_rollback_points_back(tmp_path):
    models = Registry(tmp_path)
    make(tmp_path / "v1")
    make(tmp_path / "v2")
    assert models.champion() is None
    models.promote("v1", cause="first")
    models.promote("v2", cause="drift")
    assert models.rollback()["version"] == "v1"
    assert models.versions() == ["v1", "v2"]


def test_registry_damaged_version_is_never_promoted(tmp_path):
    models = Registry(tmp_path)
    make(tmp_path / "v1")
    (tmp_path / "v1" / "part" / "a.txt").write_text("changed")
    with pytest.raises(ArtifactError):
        models.promote("v1", cause="x")
    assert models.champion() is None


def test_write_json_value_that_cannot_be_written_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        write_json(path, loop)
    assert json.loads(path.read_text()) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1
