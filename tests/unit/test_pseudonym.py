"""Pseudonyms: one for each user and key, and a key that many processes agree on."""

import hashlib
import multiprocessing
import stat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raconteur.errors import ConfigError
from raconteur.pseudonym import KEY, KEY_BYTES, pseudonym, pseudonym_key

ANY_TEXT = st.text()
KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
ONE_KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def no_key_of_ours(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)


def test_pseudonym_is_the_published_keyed_hash():
    expected = hashlib.blake2b(b"anna", key=ONE_KEY, digest_size=16, person=b"raconteur-user").hexdigest()
    assert pseudonym("anna", ONE_KEY) == expected


@given(ANY_TEXT, KEYS)
def test_pseudonym_is_stable_and_of_one_form(user_id, key):
    name = pseudonym(user_id, key)
    assert name == pseudonym(user_id, key)
    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")


@given(ANY_TEXT, ANY_TEXT, KEYS)
@example("\ud800", "?", ONE_KEY)  # half a character, which no UTF-8 can hold
def test_pseudonym_tells_users_apart(one, other, key):
    assert (pseudonym(one, key) == pseudonym(other, key)) == (one == other)


@given(ANY_TEXT, KEYS, KEYS)
def test_pseudonym_of_another_key_is_another_one(user_id, key, other):
    assert (pseudonym(user_id, key) == pseudonym(user_id, other)) == (key == other)


def test_key_is_made_once_for_its_owner_alone(tmp_path):
    key = pseudonym_key(tmp_path)
    assert len(key) == KEY_BYTES
    assert pseudonym_key(tmp_path) == key
    path = tmp_path / "serving" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["pseudonym.key"]
    assert pseudonym_key(tmp_path / "other") != key


def test_key_of_the_environment_comes_first_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, ONE_KEY.hex())
    assert pseudonym_key(tmp_path) == ONE_KEY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "secret", "00" * 31, "00" * 33, "zz" * 32])
def test_key_of_another_form_is_refused_without_being_shown(tmp_path, monkeypatch, text):
    monkeypatch.setenv(KEY, text)
    with pytest.raises(ConfigError, match=KEY) as caught:
        pseudonym_key(tmp_path)
    assert not text or text not in str(caught.value)
    monkeypatch.delenv(KEY)
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "pseudonym.key").write_text(text)
    with pytest.raises(ConfigError, match=r"pseudonym\.key is no key of 64 hex digits"):
        pseudonym_key(tmp_path)


def test_key_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "serving").write_text("a file in the way")
    with pytest.raises(ConfigError, match="can be neither read nor made"):
        pseudonym_key(tmp_path)


def test_key_many_processes_at_once_agree(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(8) as pool:
        keys = pool.map(pseudonym_key, [tmp_path] * 64, chunksize=1)
    assert len(set(keys)) == 1
