"""The program's own decisions: parameters of a run, what the cache may serve, refusals."""

import json
import subprocess
import sys
from pathlib import Path

from pipelines.run import _drop_stale_cache, arguments_of
from raconteur.config.schema import Config


def config(tmp_path, **sections) -> Config:
    return Config.model_validate({"workdir": str(tmp_path), **sections})


def test_arguments_settings_of_service_and_monitoring_train_nothing_anew(tmp_path):
    plain = arguments_of(config(tmp_path), cause="x")
    changed = arguments_of(config(tmp_path, serve={"port": 9}, monitor={"max_loss": 0.5}), cause="x")

    assert changed["config"] == plain["config"]
    assert json.loads(changed["gate"])["monitor"]["max_loss"] == 0.5  # the release reads it
    assert {name for name in plain if plain[name] != changed[name]} == {"gate"}


def test_arguments_config_is_one_that_a_step_can_read(tmp_path):
    arguments = arguments_of(config(tmp_path, world={"num_users": 12}), cause="x")
    assert Config.model_validate_json(arguments["config"]).world.num_users == 12


def test_arguments_checkpoints_of_another_source_are_not_resumed(tmp_path):
    one = arguments_of(config(tmp_path), cause="x")
    two = arguments_of(config(tmp_path, world={"seed": 99}), cause="x")
    assert one["checkpoints"] != two["checkpoints"]
    assert Path(one["checkpoints"]).parent == tmp_path / "checkpoints"


def test_cache_is_dropped_when_the_feature_store_is_gone(tmp_path):
    (tmp_path / "pipeline" / "cache").mkdir(parents=True)
    (tmp_path / "features").mkdir()
    _drop_stale_cache(config(tmp_path), tmp_path / "pipeline")
    assert (tmp_path / "pipeline" / "cache").exists()

    (tmp_path / "features").rmdir()
    _drop_stale_cache(config(tmp_path), tmp_path / "pipeline")
    assert not (tmp_path / "pipeline" / "cache").exists()


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipelines.run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_program_missing_config_is_one_clear_line(tmp_path):
    done = run("train", "--config-json", str(tmp_path / "none.json"))
    assert done.returncode == 1
    assert done.stderr == f"error: config {tmp_path / 'none.json'} cannot be read: No such file or directory\n"


def test_program_compile_writes_the_ir(tmp_path):
    done = run("compile", "--out", str(tmp_path / "train.yaml"))
    assert done.returncode == 0
    assert done.stdout.strip() == str(tmp_path / "train.yaml")
    assert (tmp_path / "train.yaml").stat().st_size > 10_000


def test_program_submit_to_no_kubeflow_is_one_clear_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = run("submit", "--endpoint", "http://127.0.0.1:9", "--config-json", str(tmp_path / "config.json"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Kubeflow Pipelines API answers at http://127.0.0.1:9")
