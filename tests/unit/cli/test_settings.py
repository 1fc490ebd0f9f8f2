import json
from pathlib import Path

import pytest
import typer

from raconteur.cli.settings import read_resolved, resolve, write_resolved
from raconteur.errors import ConfigError


def test_resolve_default_file_is_taken_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve(None, None).name == "demo"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.toml").write_text('name = "mine"\n')
    assert resolve(None, None).name == "mine"


def test_resolve_workdir_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve(None, ["workdir=runs/x"]).workdir == tmp_path / "runs" / "x"


def test_resolve_dry_run_ends_the_command(capsys):
    with pytest.raises(typer.Exit):
        resolve([], ["name=dry"], dry_run=True)
    assert json.loads(capsys.readouterr().out)["name"] == "dry"


def test_resolved_config_written_and_read_is_the_same(tmp_path):
    config = resolve([], [f"workdir='{tmp_path}'", "data.layout=movielens", "data.path='s3://logs'"])
    assert read_resolved(write_resolved(config)) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("{", "Invalid JSON"), ('{"nothing": 1}', "nothing"), ('{"seed": "x"}', "seed")],
)
def test_read_resolved_refused_with_the_place(tmp_path: Path, text, words):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_resolved(path)
