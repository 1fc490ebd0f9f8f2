"""The pipeline `train` for real, end to end on a very small world: every component runs in kfp's local runner."""

import json
import subprocess
import sys

import pytest

from pipelines.train import STEPS
from raconteur.artifacts import Registry, verify
from raconteur.config.schema import Config

SMALL = {
    "name": "small",
    "world": {"num_users": 120, "num_items": 60, "num_days": 40},
    "evaluate": {"max_users": 60, "num_bootstrap": 50},
    "text": {"vocab_size": 512},
    "sequential": {"num_layers": 1, "width": 32, "num_heads": 2, "num_steps": 100},
    "reasoner": {"num_steps": 60, "batch_size": 16, "tune_steps": 20, "tune_examples": 200},
    "verbalizer": {
        "sft_steps": 3,
        "best_steps": 0,
        "sft_batch_size": 4,
        "max_new_tokens": 16,
        "grpo": {"num_steps": 2, "prompts_per_step": 2, "group_size": 2},
    },
    # An untrained student's scores are near ties, which INT8 turns over: `quantise` refuses that.
    "student": {"num_layers": 1, "width": 32, "num_steps": 120, "batch_size": 16, "min_agreement": 0.5},
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    config = Config.model_validate({**SMALL, "workdir": str(folder)})
    (folder / "config.json").write_text(config.model_dump_json())
    return folder


def train(workdir) -> str:
    command = [sys.executable, "-m", "pipelines.run", "train", "--config-json", str(workdir / "config.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def first(workdir) -> str:
    return train(workdir)


def test_train_first_run_does_every_step_and_the_gate_decides(workdir, first):
    rows = json.loads((workdir / "pipeline" / "steps.json").read_text())
    assert sorted(row["step"] for row in rows) == sorted(STEPS)
    assert not any(row["cached"] for row in rows)
    assert all(row["metrics"] for row in rows)

    registry = Registry(workdir / "models")
    (version,) = registry.versions()
    verify(registry.folder(version))
    parts = {"retriever", "reasoner", "verbalizer", "student", "router", "requests", "items.parquet", "gate.json"}
    assert parts <= {path.name for path in registry.folder(version).iterdir()}
    assert json.loads((registry.folder(version) / "gate.json").read_text())["inputs"]["student"]["min_share"] == 0.5
    # So small a model may stay below popularity; then nothing is promoted, and the run says so.
    promoted = next(row["metrics"]["promoted"] for row in rows if row["step"] == "release")
    assert (registry.champion() is not None) == bool(promoted)
    assert ("not promoted" in first) != bool(promoted)


def test_train_publishes_data_evaluation_and_report(workdir, first):
    verify(workdir / "data")
    verify(workdir / "evaluation")
    report = (workdir / "report" / "report.md").read_text()
    assert "tuned" in report
    rows = json.loads((workdir / "pipeline" / "steps.json").read_text())
    fitted = next("temperature" in row["metrics"] for row in rows if row["step"] == "calibrate")
    assert (workdir / "evaluation" / "routing").exists() == fitted
    assert ("no curve was drawn" in report) != fitted
    assert (workdir / "report" / "index.html").stat().st_size > 100_000
    assert (workdir / "pipeline" / "train.yaml").exists()
    assert not (workdir / "checkpoints").exists()


def test_train_again_keeps_every_step_but_the_gate(workdir, first):
    told = train(workdir)
    assert told.count("kept from an earlier run") == len(STEPS) - 1
    rows = json.loads((workdir / "pipeline" / "steps.json").read_text())
    assert [row["step"] for row in rows if not row["cached"]] == ["release"]
