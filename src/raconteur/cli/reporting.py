"""Writes the report of a run from what its stages left in the workdir; what is missing is left out."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raconteur.config.schema import Config


def write_run_report(config: "Config") -> Path:
    """Writes `report/` anew and returns its page; called after a run, and again when traffic has come in.

    Raises:
        DataError: there is no evaluation yet, or a file is malformed.
    """
    from raconteur.evaluate.inputs import ReportInputs
    from raconteur.evaluate.report import write_report

    workdir, evaluation = config.workdir, config.workdir / "evaluation"
    inputs = ReportInputs(
        title=config.name,
        evaluation=evaluation,
        steps=workdir / "pipeline" / "steps.json",
        routes=routes_file(config),
        curves=evaluation / "curves.json",
        gate=_newest_gate(workdir / "models"),
        config=config,
    )
    return write_report(inputs, workdir / "report")


def routes_file(config: "Config") -> Path:
    """Where the route mix of the last traffic is kept."""
    return config.workdir / "serving" / "routes.json"


def _newest_gate(models: Path) -> Path | None:
    return max(models.glob("[!.]*/gate.json"), key=lambda path: path.stat().st_mtime, default=None)
