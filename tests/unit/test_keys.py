"""The keys file: what is in it, who may read it, and changes that do not undo each other."""

import hashlib
import json
import multiprocessing
import stat
from datetime import UTC, datetime

import pytest

from raconteur.errors import ConfigError
from raconteur.keys import KEYS, add_key, find, keys_path, new_key, read_keys, remove_key
from raconteur.scopes import Scope


@pytest.fixture
def path(tmp_path):
    return tmp_path / "serving" / "keys.json"


def make(name, *scopes):
    return new_key(name, scopes or [Scope.RECOMMEND], rate_per_s=5.0, burst=10)


def test_file_holds_the_hash_and_not_the_token(path):
    key, token = make("app", Scope.EVENTS, Scope.RECOMMEND)
    add_key(path, key)
    assert token not in path.read_text()
    [row] = json.loads(path.read_text())["keys"]
    assert row["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert (row["name"], sorted(row["scopes"]), row["rate_per_s"], row["burst"]) == (
        "app",
        ["events", "recommend"],
        5.0,
        10,
    )
    assert abs(datetime.fromisoformat(row["created"]) - datetime.now(UTC)).total_seconds() < 600


def test_file_is_for_its_owner_alone_also_after_a_change(path):
    for name in ("one", "two"):
        add_key(path, make(name)[0])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    remove_key(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == [".keys.json.lock", "keys.json"]


def test_tokens_have_32_random_bytes():
    tokens = {make("app")[1] for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {43}  # 32 bytes in base64


def test_find_gives_the_key_of_its_token_alone(path):
    tokens = {}
    for name in ("one", "two", "three"):
        key, tokens[name] = make(name)
        add_key(path, key)
    keys = read_keys(path)
    assert {name: find(keys, token).name for name, token in tokens.items()} == {name: name for name in tokens}
    assert find(keys, "") is None
    assert find(keys, tokens["one"].swapcase()) is None
    assert find((), tokens["one"]) is None


def test_read_keys_no_file_is_not_the_same_as_no_keys(path):
    assert read_keys(path) is None
    add_key(path, make("app")[0])
    remove_key(path, "app")
    assert read_keys(path) == ()


@pytest.mark.parametrize("name", ["", "a b", "-x", "<b>", "a" * 65, "a/b", "ä"])
def test_new_key_name_of_other_characters_is_refused(name):
    with pytest.raises(ConfigError, match="name"):
        make(name)


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (float("inf"), 1), (1.0, 0)])
def test_new_key_impossible_rate_is_refused(rate_per_s, burst):
    with pytest.raises(ConfigError, match=r"rate_per_s|burst"):
        new_key("app", [Scope.ADMIN], rate_per_s=rate_per_s, burst=burst)


def test_new_key_without_scope_is_refused():
    with pytest.raises(ConfigError, match="scopes"):
        new_key("app", [], rate_per_s=1.0, burst=1)


def test_add_key_taken_name_is_refused_and_the_first_one_stays(path):
    first, token = make("app")
    add_key(path, first)
    with pytest.raises(ConfigError, match="has a key 'app' already"):
        add_key(path, make("app")[0])
    assert find(read_keys(path), token) == first


def test_remove_key_unknown_name_says_which_there_are(path):
    add_key(path, make("app")[0])
    with pytest.raises(ConfigError, match="no key 'apq'; it has app"):
        remove_key(path, "apq")


def test_read_keys_broken_file_is_named_and_nothing_of_it_shown(path):
    path.parent.mkdir()
    path.write_text('{"keys": [{"name": "app", "sha256": "a-token-in-the-wrong-place"}]}')
    with pytest.raises(ConfigError, match=r"keys\.json: keys\.0\.sha256") as caught:
        read_keys(path)
    assert "a-token" not in str(caught.value)
    with pytest.raises(ConfigError):  # nothing is written over what cannot be read
        add_key(path, make("app")[0])
    assert "a-token" in path.read_text()


def test_read_keys_two_of_one_name_are_refused(path):
    add_key(path, make("app")[0])
    [row] = json.loads(path.read_text())["keys"]
    path.write_text(json.dumps({"keys": [row, row]}))
    with pytest.raises(ConfigError, match="two keys have the same name"):
        read_keys(path)


def test_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "serving").write_text("a file in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        add_key(tmp_path / "serving" / "keys.json", make("app")[0])


def test_keys_path_of_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.delenv(KEYS, raising=False)
    assert keys_path(tmp_path) == tmp_path / "serving" / "keys.json"
    monkeypatch.setenv(KEYS, str(tmp_path / "mounted.json"))
    assert keys_path(tmp_path) == tmp_path / "mounted.json"


def _add(arguments):
    path, name = arguments
    add_key(path, make(name)[0])


def test_add_key_many_at_once_lose_none(path):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.map(_add, [(path, f"key{index}") for index in range(40)], chunksize=1)
    assert {key.name for key in read_keys(path)} == {f"key{index}" for index in range(40)}
