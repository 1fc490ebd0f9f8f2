"""What the report reads: files of a run, checked at the door.

The table of arms and the metrics are always there after `evaluate`; every other file may be missing, and its section
then says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from raconteur.config.schema import Config
from raconteur.errors import DataError
from raconteur.evaluate.arms import read_arms
from raconteur.evaluate.choice import SLICES
from raconteur.evaluate.curve_page import FIGURES, IMAGE, MARKDOWN
from raconteur.evaluate.gate import GateDecision, read_record

ROUTING = "routing"  # folder of the curve within an evaluation
Routes = dict[str, float]
Curves = dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Where the parts of a report lie."""

    title: str
    evaluation: Path  # folder with arms.parquet and metrics.json
    steps: Path | None = None  # [{step, seconds, metrics}]
    routes: Path | None = None  # {route: number of answers}
    curves: Path | None = None  # {name: [value of each logged point]}
    gate: Path | None = None  # a gate record
    config: Config | None = None


class Step(BaseModel):
    """One finished step of a run."""

    model_config = ConfigDict(frozen=True)

    step: str
    seconds: float = Field(ge=0.0)
    metrics: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two arms on one slice, in Recall@1; relative parts are None over a base of 0."""

    arm: str
    base: str
    slice_name: str
    value: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class RoutingCurve:
    """Quality against cost of the router, as `train.calibrate.draw` wrote it."""

    page: str  # Markdown, below its title
    image: str  # SVG
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Facts:
    """The inputs, read; None where a file was not given or does not exist."""

    arms: pl.DataFrame
    metrics: dict[str, float]
    differences: list[Difference]
    steps: list[Step] | None
    routes: Routes | None
    curves: Curves | None
    gate: GateDecision | None
    routing: RoutingCurve | None


def read_facts(inputs: ReportInputs) -> Facts:
    """Reads and checks all files.

    Raises:
        DataError: the table of arms or the metrics are missing, or a file is not of its form.
        ArtifactError: the gate record is unreadable.
    """
    metrics = _read(inputs.evaluation / "metrics.json", dict[str, float])
    if metrics is None:
        raise DataError(f"{inputs.evaluation} has no metrics.json; run `raconteur evaluate` first")
    return Facts(
        arms=read_arms(inputs.evaluation / "arms.parquet"),
        metrics={name: value for name, value in metrics.items() if not name.startswith("difference/")},
        differences=_differences(metrics),
        steps=_read(inputs.steps, list[Step]),
        routes=_read(inputs.routes, Routes),
        curves=_read(inputs.curves, Curves),
        gate=read_record(inputs.gate) if inputs.gate is not None and inputs.gate.exists() else None,
        routing=_routing(inputs.evaluation / ROUTING),
    )


def _read(path: Path | None, form: Any) -> Any:
    if path is None or not path.exists():
        return None
    try:
        return TypeAdapter(form).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is not what a report reads: {error}") from error


def _routing(folder: Path) -> RoutingCurve | None:
    figures = _read(folder / FIGURES, dict[str, float])
    if figures is None:
        return None
    try:
        page = (folder / MARKDOWN).read_text()
        return RoutingCurve(page.partition("\n")[2].strip(), (folder / IMAGE).read_text(), figures)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder} holds no routing curve: {error}") from error


def _differences(metrics: Mapping[str, float]) -> list[Difference]:
    """Gathers the keys of `arms.difference_metrics` again; slices in their usual order, since JSON does not keep it."""
    groups: dict[tuple[str, str, str], dict[str, float]] = {}
    for key, number in metrics.items():
        match key.split("/"):
            case ["difference", arm, base, slice_name, part]:
                groups.setdefault((arm, base, slice_name), {})[part] = number
    found = [
        Difference(
            *names,
            parts["value"],
            parts["low"],
            parts["high"],
            parts.get("relative"),
            parts.get("relative_low"),
            parts.get("relative_high"),
        )
        for names, parts in groups.items()
        if {"value", "low", "high"} <= parts.keys()
    ]
    order = {name: number for number, name in enumerate(SLICES)}
    return sorted(found, key=lambda one: (one.arm, one.base, order.get(one.slice_name, len(order)), one.slice_name))
