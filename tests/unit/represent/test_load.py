import json

import pytest

from raconteur.errors import ArtifactError
from raconteur.represent.load import load_verbalizer


def test_load_verbalizer_of_no_folder_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="none holds no readable Verbalizer"):
        load_verbalizer(tmp_path / "none")


@pytest.mark.parametrize("about", ["[]", "{}", "no json"])
def test_load_verbalizer_of_a_folder_without_a_kind_is_refused(tmp_path, about):
    (tmp_path / "verbalizer.json").write_text(about)
    with pytest.raises(ArtifactError, match="holds no readable Verbalizer"):
        load_verbalizer(tmp_path)


def test_load_verbalizer_of_an_unknown_kind_names_the_known_ones(tmp_path):
    (tmp_path / "verbalizer.json").write_text(json.dumps({"kind": "poem"}))
    with pytest.raises(ArtifactError, match="kind 'poem'; known kinds: action, llm, rewrite"):
        load_verbalizer(tmp_path)


def test_load_verbalizer_whose_kind_is_no_word_is_refused(tmp_path):
    (tmp_path / "verbalizer.json").write_text(json.dumps({"kind": ["rewrite"]}))
    with pytest.raises(ArtifactError, match="holds a Verbalizer of kind"):
        load_verbalizer(tmp_path)
