import json

import numpy as np
import pytest

from raconteur.artifacts import new_folder, read_manifest
from raconteur.errors import ArtifactError
from raconteur.retrieve.ease import Ease
from raconteur.retrieve.load import load_retriever, save
from raconteur.retrieve.popularity import Popularity

ITEMS = ["a", "b"]


def test_save_manifest_holds_what_the_caller_says(tmp_path):
    save(Popularity.fit([["a"]], ITEMS), tmp_path / "retriever", catalogue_version="c1")
    assert read_manifest(tmp_path / "retriever")["catalogue_version"] == "c1"


def test_load_absent_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is no finished artefact"):
        load_retriever(tmp_path / "nothing")


def test_load_unknown_kind_names_the_known_ones(tmp_path):
    with new_folder(tmp_path / "retriever") as folder:
        (folder / "config.json").write_text(json.dumps({"kind": "oracle"}))
    with pytest.raises(ArtifactError, match=r"kind 'oracle'; known kinds: dense, ease, fused, lexical, linear, markov"):
        load_retriever(tmp_path / "retriever")


def test_load_folder_without_config_is_refused(tmp_path):
    with new_folder(tmp_path / "retriever"):
        pass
    with pytest.raises(ArtifactError, match="is no retriever"):
        load_retriever(tmp_path / "retriever")


def test_load_arrays_that_need_a_pickle_are_refused(tmp_path):
    with new_folder(tmp_path / "retriever") as folder:
        Popularity.fit([["a"]], ITEMS).save(folder)
        np.savez(folder / "arrays.npz", scores=np.array([object(), object()]))
    with pytest.raises(ArtifactError, match="no readable popularity model"):
        load_retriever(tmp_path / "retriever")


def test_load_by_the_wrong_class_is_refused(tmp_path):
    Popularity.fit([["a"]], ITEMS).save(tmp_path)
    with pytest.raises(ArtifactError, match="of kind 'popularity', expected 'ease'"):
        Ease.load(tmp_path)


def test_save_that_fails_leaves_nothing(tmp_path):
    class Broken(Popularity):
        def save(self, folder):
            (folder / "half").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save(Broken(("a",), np.ones(1)), tmp_path / "retriever")
    assert list(tmp_path.iterdir()) == []
