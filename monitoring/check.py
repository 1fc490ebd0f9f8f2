"""`python -m monitoring.check`: compare what is new with what the champion learned, decide, and retrain when asked to.

    python -m monitoring.check --config-json FILE [--retrain] [--dry-run]

Reads `data/` (the champion's), `incoming/` (a newly prepared log) and `predictions/` of the run; writes an Evidently
report, a decision record and, with --retrain, starts the training pipeline once per cause. --dry-run prints what would
be compared and writes nothing.
"""

import argparse
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring.claims import Claim
from monitoring.decision import DriftDecision, DriftInputs, decide, write_decision
from monitoring.quality import served_quality
from monitoring.report import DriftReport, write_report
from monitoring.served import calibration_note, labelled, prediction_windows, read_predictions
from monitoring.trigger import start_once
from monitoring.windows import event_windows, stretch
from raconteur import artifacts
from raconteur.cli.failures import run_program
from raconteur.cli.settings import read_resolved
from raconteur.config.schema import Config, DataConfig, WorldConfig
from raconteur.errors import DataError, PipelineError
from raconteur.pseudonym import pseudonym_key

RETRAIN_TIMEOUT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Champion:
    version: str
    manifest: dict[str, Any]

    @property
    def cutoff(self) -> datetime | None:
        """Newest event that it learned from, where its manifest says so."""
        newest = self.manifest.get("newest_event")
        return datetime.fromisoformat(newest) if newest else None


@dataclass(frozen=True, slots=True)
class Outcome:
    decision: DriftDecision
    report: DriftReport
    record: Path


def main(arguments: list[str] | None = None) -> None:
    options = make_parser().parse_args(arguments)
    config = read_resolved(options.config_json)
    if options.dry_run:
        print(plan(config))
        return
    outcome = check(config)
    print(_paragraph(outcome))
    if options.retrain:
        _retrain(config, outcome.decision)


def check(config: Config, *, now: datetime | None = None) -> Outcome:
    """Compares, reports and decides; starts nothing.

    Raises:
        ArtifactError: no champion yet, or no finished data set.
        DataError: a table is missing or has other columns.
        ConfigError: the key of the pseudonyms in the prediction log is malformed.
    """
    champion, incoming = _champion(config), _incoming(config)
    when = stretch(config.workdir / "data", incoming, cutoff=champion.cutoff)
    key = pseudonym_key(config.workdir)
    monitor, folder = config.monitor, config.workdir / "monitoring"
    predictions = read_predictions(config.workdir / "predictions", version=champion.version)
    windows = event_windows(config.workdir / "data", incoming, when, rows=monitor.window_rows)
    windows = windows.beside(prediction_windows(predictions, rows=monitor.window_rows))
    stamp = f"{now or datetime.now(UTC):%Y%m%dT%H%M%S}-{champion.version}"
    about = {"champion": champion.version, "start": when.start.isoformat(), "end": when.end.isoformat()}
    report = write_report(windows, folder, project=config.name, report_id=stamp, about=about)
    hits = labelled(predictions, incoming, key=key, rows=monitor.window_rows)
    inputs = DriftInputs(
        champion=champion.version,
        window_start=when.start.isoformat(),
        window_end=when.end.isoformat(),
        columns=report.columns,
        quality=served_quality(hits, folder, version=champion.version, manifest=champion.manifest),
        drift_share=monitor.drift_share,
        max_recall_drop=monitor.max_recall_drop,
        notes=(*windows.notes, *calibration_note(predictions, incoming, key=key, rows=monitor.window_rows)),
    )
    decision, record = decide(inputs), folder / "decisions" / f"{stamp}.json"
    write_decision(decision, record)
    return Outcome(decision, report, record)


def plan(config: Config) -> str:
    """What a check would compare, in words."""
    champion, incoming = _champion(config), _incoming(config)
    when = stretch(config.workdir / "data", incoming, cutoff=champion.cutoff)
    predictions = read_predictions(config.workdir / "predictions", version=champion.version)
    return (
        f"champion {champion.version}: events of {incoming} in ({when.start.isoformat()}, {when.end.isoformat()}] "
        f"against the {when.span.days} days before, {config.monitor.window_rows} rows each, "
        f"and {predictions.height} logged predictions; nothing was written"
    )


def retraining_config(config: Config) -> Config:
    """The run's config, reading what the new data set was prepared from: the champion's source holds no new event."""
    stored = artifacts.read_manifest(_incoming(config)).get("config")
    if stored is None:
        return config
    # These two sections alone: the rest may be of another version of the program.
    source = {"data": DataConfig.model_validate(stored["data"]), "world": WorldConfig.model_validate(stored["world"])}
    return config.model_copy(update=source)


def retraining_command(config_json: Path, cause: str) -> list[str]:
    """The training pipeline as a program of its own: monitoring imports no pipeline."""
    return [sys.executable, "-m", "pipelines.run", "train", "--config-json", str(config_json), "--cause", cause]


def _retrain(config: Config, decision: DriftDecision) -> None:
    if not decision.retrain:
        print("no retraining: the decision does not ask for one")
        return
    causes = config.workdir / "monitoring" / "causes"
    settings = causes / f"{decision.cause}.config.json"
    if not settings.exists():
        artifacts.write_json(settings, retraining_config(config).model_dump(mode="json"))
    command = retraining_command(settings, decision.cause)
    models = config.workdir / "models"
    claim, started = start_once(command, decision.cause, causes=causes, models=models, timeout_s=RETRAIN_TIMEOUT_S)
    print(_claim_text(claim, started))
    if started and claim.state == "failed":
        raise PipelineError(f"retraining {claim.run_id} failed (exit code {claim.exit_code}); read {claim.log}")


def _claim_text(claim: Claim, started: bool) -> str:
    who = "this call ran" if started else "nothing started: the cause was handled before by"
    swapped = (
        f"champion {claim.champion_before} -> {claim.champion_after}" if claim.champion_after else "no champion yet"
    )
    decision = claim.gate.get("decision", {}) if claim.gate else {}
    verdict = f"; gate: {decision['reason']}" if "reason" in decision else ""
    return f"{claim.cause}: {who} run {claim.run_id} ({claim.state}); {swapped}{verdict}; log {claim.log}"


def _paragraph(outcome: Outcome) -> str:
    decision, report = outcome.decision, outcome.report
    inputs = decision.inputs
    drifted = [column.column for column in inputs.columns if column.drifted]
    quality = inputs.quality
    served = f"served Recall@1 {quality.recall_at_1:.3f} of {quality.num_labels} answers; " if quality else ""
    return (
        f"{decision.kind} ({decision.cause}): {decision.reason.rstrip('.')}. "
        f"Window {inputs.window_start} to {inputs.window_end} against champion {inputs.champion}; "
        f"drifted: {', '.join(drifted) or 'nothing'}; {served}"
        f"{''.join(f'{note}; ' for note in inputs.notes)}"
        f"report {report.page or 'not written, nothing to compare'}; record {outcome.record}"
    )


def _champion(config: Config) -> Champion:
    registry = artifacts.Registry(config.workdir / "models")
    folder = registry.champion_folder()
    return Champion(folder.name, artifacts.read_manifest(folder))


def _incoming(config: Config) -> Path:
    folder = config.workdir / "incoming"
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist: prepare a newer log into it (`raconteur monitor shift` makes one)")
    return folder


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.check", description=__doc__.splitlines()[0])
    parser.add_argument("--config-json", type=Path, required=True, help="resolved config of the run, as JSON")
    parser.add_argument("--retrain", action="store_true", help="start the training pipeline where the decision asks")
    parser.add_argument("--dry-run", action="store_true", help="print what would be compared; write nothing")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that a retraining is stopped and noted
    run_program(main)
