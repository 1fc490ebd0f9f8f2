"""The report of a run: `index.html`, one self-contained page with plots, and `report.md` for the terminal.

Called by the command line and the pipeline's last step. Text from data is escaped; the page loads nothing from outside.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from raconteur.artifacts import new_folder
from raconteur.evaluate import figures
from raconteur.evaluate.arms import ORACLE
from raconteur.evaluate.choice import SLICES
from raconteur.evaluate.figures import Figure
from raconteur.evaluate.inputs import Facts, ReportInputs, read_facts

SLICE_TITLES = {
    "all": "All users",
    "discovery": "Discovery: items never touched before",
    "cold": "Cold users",
    "long_tail": "Long tail",
}


@dataclass(frozen=True, slots=True)
class SliceView:
    """One slice, ready to be shown."""

    name: str
    title: str
    num_users: int
    rows: list[dict[str, Any]]
    best: dict[str, Any]  # the row with the highest Recall@1, the oracle left out
    figure: Figure


def write_report(inputs: ReportInputs, out: Path) -> Path:
    """Writes both pages into the folder `out`, replacing an older report, and returns the HTML page.

    Raises:
        DataError, ArtifactError: an input is missing or malformed (`inputs.read_facts`).
    """
    context = _context(inputs, read_facts(inputs))
    pages = _environment()
    with new_folder(out, artefact="report", title=inputs.title) as unfinished:
        markdown = pages.get_template("report.md.j2").render(context)
        (unfinished / "report.md").write_text(markdown)
        html = pages.get_template("report.html.j2").render(context, plotly_js=get_plotlyjs())
        (unfinished / "index.html").write_text(html)
    return out / "index.html"


def _context(inputs: ReportInputs, facts: Facts) -> dict[str, Any]:
    chance = 1.0 / inputs.config.evaluate.num_candidates if inputs.config else None
    slices = _slices(facts.arms, chance)
    costs = facts.arms.unique("arm", keep="first", maintain_order=True).to_dicts()
    return {
        "title": inputs.title,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": facts,
        "slices": slices,
        "headline": next((view for view in slices if view.name == "discovery"), slices[0] if slices else None),
        "costs": costs,
        "config": inputs.config.model_dump_json(indent=2) if inputs.config else None,
        "plots": _plots(facts, costs),
    }


def _slices(arms: pl.DataFrame, chance: float | None) -> list[SliceView]:
    """The known slices in their order, then any other."""
    found: list[str] = arms["slice"].unique(maintain_order=True).to_list()
    ordered = [name for name in SLICES if name in found] + [name for name in found if name not in SLICES]
    views: list[SliceView] = []
    for name in ordered:
        rows = arms.filter(pl.col("slice") == name)
        rivals = rows.filter(pl.col("arm") != ORACLE)
        best = (rivals if rivals.height else rows).sort("recall_at_1", descending=True).row(0, named=True)
        figure = figures.recall_bars(rows, best=best["recall_at_1"], chance=chance)
        num_users = max(rows["num_users"].to_list())
        views.append(SliceView(name, SLICE_TITLES.get(name, name), num_users, rows.to_dicts(), best, figure))
    return views


def _plots(facts: Facts, costs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures beside the slices' own; a plot without data is left out."""
    plots: dict[str, Any] = {}
    latency = {row["arm"]: row["ms_per_user"] for row in costs if row["ms_per_user"] is not None}
    if latency:
        plots["latency"] = figures.bars(latency, title="milliseconds an answer")
    if facts.differences:
        plots["differences"] = figures.difference_dots(facts.differences)
    total = sum((facts.routes or {}).values())
    if facts.routes and total > 0:
        shares = {route: count / total for route, count in sorted(facts.routes.items(), key=lambda pair: -pair[1])}
        plots["routes"] = figures.bars(shares, title="share of answers")
    if facts.steps:
        plots["steps"] = figures.bars({step.step: step.seconds for step in facts.steps}, title="seconds")
    plots["curves"] = [figures.curve(name, values) for name, values in (facts.curves or {}).items()]
    return plots


def _environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("raconteur.evaluate"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"number": _number, "signed": _signed, "percent": _percent, "cell": _cell, "base64": _base64}
    return pages


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _cell(text: object) -> str:
    """Text from data inside a Markdown table: markup shows as it was written, and a row stays one line."""
    escaped = "".join(f"\\{sign}" if sign in "\\|<>`*[]" else sign for sign in str(text))
    return " ".join(escaped.split())
