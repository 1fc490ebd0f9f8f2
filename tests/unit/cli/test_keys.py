"""The three commands after each other, and that a token is seen once."""

import pytest
from typer.testing import CliRunner

from raconteur.cli.keys import app
from raconteur.errors import ConfigError
from raconteur.keys import KEYS, find, read_keys
from raconteur.scopes import Scope


@pytest.fixture
def keys(tmp_path, monkeypatch):
    monkeypatch.delenv(KEYS, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--set", f"workdir='{tmp_path}'"])

    return run


def test_add_prints_the_token_alone_on_stdout_and_never_again(keys, tmp_path):
    done = keys("add", "mobile", "--scope", "recommend", "--scope", "events", "--rate", "20", "--burst", "40")
    assert done.exit_code == 0, done.output
    token = done.stdout.removesuffix("\n")
    [key] = read_keys(tmp_path / "serving" / "keys.json")
    assert find([key], token) == key
    assert (key.scopes, key.rate_per_s, key.burst) == ({Scope.RECOMMEND, Scope.EVENTS}, 20.0, 40)
    shown = keys("list").stdout
    assert token not in shown
    assert key.sha256 not in shown
    for word in ("mobile", "events, recommend", "20", "40"):
        assert word in shown


def test_remove_takes_the_key_out_and_says_what_an_empty_file_means(keys, tmp_path):
    keys("add", "one", "--scope", "recommend")
    keys("add", "two", "--scope", "admin")
    done = keys("remove", "one")
    assert "key 'one' is out, 1 are left" in done.stdout
    assert "nobody is let in" not in done.stdout
    assert "nobody is let in now" in keys("remove", "two").stdout
    assert read_keys(tmp_path / "serving" / "keys.json") == ()


def test_list_without_a_file_says_what_that_means(keys):
    assert "listens on loopback only" in keys("list").stdout


def test_add_unknown_or_missing_scope_names_the_choices(keys):
    for arguments in (["--scope", "everything"], []):
        done = keys("add", "app", *arguments)
        assert done.exit_code == 2
    assert "recommend" in keys("add", "app", "--scope", "everything").output


def test_remove_unknown_name_is_a_known_error(keys):
    assert isinstance(keys("remove", "nobody").exception, ConfigError)
