import pytest

from raconteur.config.ablation import data_config, load_ablation
from raconteur.errors import ConfigError

HEAD = '[ablation]\nname = "a"\nworkdir = "runs/a"\ndata = ["one.toml"]\n'


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "a.toml"
        path.write_text(text)
        return path

    return write


def test_load_ablation_names_data_beside_its_file_and_appends_overrides(write, tmp_path):
    found = load_ablation(write(HEAD + 'set = ["seed=3"]\n'), ["seed=4"])
    assert found.data == (tmp_path / "one.toml",)
    assert found.set == ("seed=3", "seed=4")


def test_data_config_takes_negatives_from_the_ablation_and_later_overrides_win(write, tmp_path):
    (tmp_path / "one.toml").write_text('name = "one"\n[evaluate]\nnegatives = ["popularity"]\n')
    found = load_ablation(write(HEAD + 'negatives = ["uniform"]\nset = ["seed=3"]\n'))
    config = data_config(found, found.data[0], ["seed=4"])
    assert (config.name, config.evaluate.negatives, config.seed) == ("one", ("uniform",), 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= 3", ["is no TOML"]),
        ("seed = 1", ["has no [ablation]"]),
        (HEAD + "sedes = [1]\n", ["ablation.sedes", "unknown setting"]),
        (HEAD + 'verbalizers = ["tempalte"]\n', ["ablation.verbalizers.0", "template"]),
        (HEAD.replace('["one.toml"]', "[]"), ["ablation.data"]),
        (HEAD + '[[ablation.variants]]\nname = "v"\n[[ablation.variants]]\nname = "v"\n', ["same name"]),
    ],
)
def test_load_ablation_refused_setting_is_one_line_that_names_it(write, text, words):
    with pytest.raises(ConfigError) as caught:
        load_ablation(write(text))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_load_ablation_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        load_ablation(tmp_path / "none.toml")
