import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from monitoring.check import check, main, retraining_command, retraining_config
from monitoring.claims import take
from monitoring.decision import replay
from raconteur import artifacts
from raconteur.config.schema import Config
from raconteur.errors import ArtifactError, DataError


def config_file(run: Config) -> Path:
    path = run.workdir / "config.json"
    path.write_text(run.model_dump_json())
    return path


def bring(run: Config, incoming: Path) -> None:
    (run.workdir / "incoming").symlink_to(incoming)


@pytest.mark.parametrize(
    ("shift", "kind", "retrain"),
    [
        ("nothing", "none", False),
        ("season", "none", False),
        ("taste", "drift", True),
        ("catalogue", "drift", True),
        ("logging", "drift", False),
    ],
)
def test_check_each_shift_gives_its_decision(run: Config, arrived, shift: str, kind: str, retrain: bool):
    bring(run, arrived(shift))
    outcome = check(run)
    assert (outcome.decision.kind, outcome.decision.retrain) == (kind, retrain), outcome.decision.reason
    assert outcome.report.page.exists()
    assert replay(outcome.record) == outcome.decision


def test_check_twice_gives_one_cause_and_two_records(run: Config, arrived):
    bring(run, arrived("taste"))
    first = check(run, now=datetime(2026, 3, 1, tzinfo=UTC))
    second = check(run, now=datetime(2026, 3, 2, tzinfo=UTC))
    assert first.decision == second.decision
    assert first.record != second.record


def test_check_after_training_on_the_new_log_finds_nothing_new(run: Config, arrived):
    incoming = arrived("taste")
    bring(run, incoming)
    newest = pl.read_parquet(incoming / "events.parquet")["event_time"].max()
    registry = artifacts.Registry(run.workdir / "models")
    with artifacts.new_folder(registry.folder("v2"), newest_event=newest.isoformat()):
        pass
    registry.promote("v2", cause="drift")
    outcome = check(run)
    assert (outcome.decision.kind, outcome.report.page) == ("none", None)
    assert outcome.decision.reason.startswith("nothing to compare")


def test_check_served_answers_that_got_worse_are_a_quality_loss(run: Config, arrived, served):
    bring(run, arrived("nothing"))
    log = pl.read_parquet(arrived("nothing") / "events.parquet")
    predictions = run.workdir / "predictions"
    predictions.mkdir()
    served(log, num=400, hits=160).write_parquet(predictions / "1.parquet")
    first = check(run).decision
    assert first.kind == "none"
    assert first.inputs.quality.reference is None  # the first window becomes the reference
    assert first.inputs.quality.recall_at_1 == pytest.approx(0.4)
    served(log, num=400, hits=40).write_parquet(predictions / "1.parquet")
    second = check(run).decision
    assert (second.kind, second.retrain) == ("quality", True)
    assert second.inputs.quality.reference == pytest.approx(0.4)


def test_check_no_incoming_says_how_to_make_it(run: Config):
    with pytest.raises(DataError, match="raconteur monitor shift"):
        check(run)


def test_check_no_champion_says_train_first(tmp_path: Path):
    with pytest.raises(ArtifactError, match="no champion yet"):
        check(Config(workdir=tmp_path))


def test_retraining_config_reads_the_source_of_the_new_log(run: Config, arrived):
    bring(run, arrived("taste"))
    config = retraining_config(run)
    assert (config.world.shift, config.workdir) == ("taste", run.workdir)


def test_retraining_command_is_one_that_the_pipeline_understands(tmp_path: Path):
    from typer.main import get_command

    from pipelines.run import app

    program, *arguments = retraining_command(tmp_path / "config.json", "drift-1")[1:]
    assert (program, arguments[:2]) == ("-m", ["pipelines.run", "train"])
    parsed = get_command(app).commands["train"].make_context("train", arguments[2:]).params
    assert parsed == {"config_json": tmp_path / "config.json", "cause": "drift-1"}


def test_main_dry_run_writes_nothing(run: Config, arrived, capsys: pytest.CaptureFixture):
    bring(run, arrived("taste"))
    main(["--config-json", str(config_file(run)), "--dry-run"])
    assert "nothing was written" in capsys.readouterr().out
    assert not (run.workdir / "monitoring").exists()


def test_main_retrain_of_a_handled_cause_starts_nothing(run: Config, arrived, capsys: pytest.CaptureFixture):
    bring(run, arrived("taste"))
    claim, _ = take(check(run).decision.cause, causes=run.workdir / "monitoring" / "causes", timeout_s=60)
    main(["--config-json", str(config_file(run)), "--retrain"])
    said = capsys.readouterr().out
    assert f"nothing started: the cause was handled before by run {claim.run_id}" in said
    assert "take_taste_match" in said


def test_main_retrain_without_reason_starts_nothing(run: Config, arrived, capsys: pytest.CaptureFixture):
    bring(run, arrived("season"))
    main(["--config-json", str(config_file(run)), "--retrain"])
    assert "no retraining" in capsys.readouterr().out
    assert not (run.workdir / "monitoring" / "causes").exists()


def test_program_known_error_is_one_line_and_status_one(tmp_path: Path):
    command = [sys.executable, "-m", "monitoring.check", "--config-json", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: config ")
    assert done.stderr.count("\n") == 1
