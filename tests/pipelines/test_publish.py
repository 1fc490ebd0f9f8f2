import json
from types import SimpleNamespace

import pytest

from pipelines.publish import publish_folder, write_steps
from raconteur.artifacts import new_folder, verify
from raconteur.errors import ArtifactError


def artefact(path, text):
    with new_folder(path, kind="test") as folder:
        (folder / "part.txt").write_text(text)
    return path


def test_publish_folder_copies_an_artefact_that_still_verifies(tmp_path):
    publish_folder(artefact(tmp_path / "made", "one"), tmp_path / "runs" / "data")
    verify(tmp_path / "runs" / "data")
    assert (tmp_path / "made").exists()  # the cache of the pipeline still points there


def test_publish_folder_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path):
    publish_folder(artefact(tmp_path / "one", "one"), tmp_path / "runs" / "data")
    publish_folder(artefact(tmp_path / "two", "two"), tmp_path / "runs" / "data")
    assert (tmp_path / "runs" / "data" / "part.txt").read_text() == "two"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["data"]


def test_publish_folder_unfinished_artefact_is_refused_and_the_old_one_stays(tmp_path):
    publish_folder(artefact(tmp_path / "one", "one"), tmp_path / "data")
    (tmp_path / "two").mkdir()
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        publish_folder(tmp_path / "two", tmp_path / "data")
    assert (tmp_path / "data" / "part.txt").read_text() == "one"


def test_write_steps_rows_hold_seconds_and_metrics_in_order(tmp_path):
    progress = SimpleNamespace(seconds={"prepare": 1.234, "tune": 60.0}, cached={"tune"})
    outputs = {"prepare": SimpleNamespace(metadata={"num_events": 5.0}), "data": SimpleNamespace(metadata={})}

    rows = write_steps(tmp_path / "steps.json", progress, outputs)

    assert rows == json.loads((tmp_path / "steps.json").read_text())
    assert rows == [
        {"step": "prepare", "seconds": 1.23, "cached": False, "metrics": {"num_events": 5.0}},
        {"step": "tune", "seconds": 60.0, "cached": True, "metrics": {}},
    ]
