"""The thresholds against the embedded world: which of its shifts ask for a retraining."""

from pathlib import Path

import pytest

from monitoring.check import check
from raconteur import artifacts
from raconteur.config.schema import Config
from raconteur.data.prepare import prepare

WORLD = {"num_users": 700, "num_items": 400, "num_days": 45}


@pytest.fixture(scope="module")
def world_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("world")
    config = Config.model_validate({"workdir": str(workdir), "world": WORLD})
    prepare(config, workdir / "data")
    registry = artifacts.Registry(workdir / "models")
    with artifacts.new_folder(registry.folder("v1"), kind="version"):
        pass
    registry.promote("v1", cause="test")
    return workdir


@pytest.mark.parametrize(
    ("shift", "kind", "retrain"),
    [("season", "none", False), ("taste", "drift", True), ("catalogue", "drift", True), ("logging", "drift", False)],
)
def test_check_shift_of_the_world_gives_its_decision(world_run: Path, tmp_path: Path, shift: str, kind: str, retrain):
    source = Config.model_validate({"workdir": str(tmp_path), "world": {**WORLD, "shift": shift}})
    prepare(source, tmp_path / "data")
    (tmp_path / "run").mkdir()
    for name, target in (
        ("data", world_run / "data"),
        ("models", world_run / "models"),
        ("incoming", tmp_path / "data"),
    ):
        (tmp_path / "run" / name).symlink_to(target)
    run = Config.model_validate({"workdir": str(tmp_path / "run")})
    decision = check(run).decision
    assert (decision.kind, decision.retrain) == (kind, retrain), decision.reason
