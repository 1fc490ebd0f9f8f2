import pytest

from raconteur.config.load import fingerprint, load
from raconteur.errors import ConfigError


def test_load_files_left_to_right_then_overrides(tmp_path):
    (tmp_path / "a.toml").write_text("seed = 1\n[student]\nwidth = 32\nnum_steps = 5")
    (tmp_path / "b.toml").write_text("[student]\nwidth = 48")
    config = load(
        [tmp_path / "a.toml", tmp_path / "b.toml"], ["student.num_steps=9", "data.layout=movielens", "data.path='x'"]
    )
    assert (config.seed, config.student.width, config.student.num_steps, config.data.layout) == (1, 48, 9, "movielens")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.wdith=3", "student.wdith: unknown setting"),
        ("student.width=wide", "student.width"),
        ("student.width", "not of the form"),
        ("data.layout=movielens", "set data.path"),
        ("verbalizer.max_new_tokens=500", "text.history_tokens"),
        ("sequential.num_heads=3", r"sequential.width = 128 cannot be dealt out evenly, in pairs"),
        ("verbalizer.num_heads=3", "verbalizer.num_heads = 3"),
        ("student.num_heads=5", "student.num_heads = 5"),
        ("evaluate.max_users=0", "evaluate.max_users"),
        ("seed=-1", "seed"),
    ],
)
def test_load_refused_setting_is_one_line_that_names_it(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load([], [override])
    assert "\n" not in str(caught.value)


def test_load_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load([tmp_path / "none.toml"])
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ConfigError, match="is no TOML"):
        load([tmp_path / "bad.toml"])
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load([tmp_path])


def test_fingerprint_only_the_named_sections_count():
    base, other = load(), load([], ["serve.port=9999"])
    assert fingerprint(base, "student", "data") == fingerprint(other, "student", "data")
    assert fingerprint(base) != fingerprint(other)
