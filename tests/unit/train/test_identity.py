"""The name of a training: whatever decides about it changes it, and nothing else does."""

import pytest

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.train.identity import training_key


@pytest.fixture
def write(tmp_path):
    def artefact(name, text):
        with new_folder(tmp_path / name, kind="text") as folder:
            (folder / "text").write_text(text)
        return tmp_path / name

    return artefact


def test_training_key_depends_on_sections_contents_and_texts(write):
    config = Config()
    one, same, other = write("one", "a"), write("same", "a"), write("other", "b")
    key = training_key(config, ("text", "seed"), reads=[one])
    assert training_key(config, ("text", "seed"), reads=[same]) == key  # the same, elsewhere
    assert training_key(config.model_copy(update={"name": "renamed"}), ("text", "seed"), reads=[one]) == key
    changed = [
        training_key(config.model_copy(update={"seed": 1}), ("text", "seed"), reads=[one]),
        training_key(config, ("text",), reads=[one]),
        training_key(config, ("text", "seed"), reads=[other]),
        training_key(config, ("text", "seed"), reads=[one, one]),
        training_key(config, ("text", "seed"), reads=[one], texts=["a"]),
        training_key(config, ("text", "seed"), reads=[one], texts=["a", "b"]),
        training_key(config, ("text", "seed"), reads=[one], texts=["ab"]),
    ]
    assert len({key, *changed}) == 1 + len(changed)
