"""A curve as a page: `curve.md` with its tables, a plot as `curve.svg` and zoomable `curve.html`, and `curve.json`."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from raconteur.artifacts import write_json
from raconteur.evaluate.bootstrap import Interval
from raconteur.evaluate.curve import CPT, Curve, Line, Point
from raconteur.evaluate.curve_plot import COLOURS, OTHER, plot

MARKDOWN, HTML, IMAGE, FIGURES = "curve.md", "curve.html", "curve.svg", "curve.json"
NO_FIGURE = "–"
EXPLAINED = """\
Quality is NDCG@10; a request costs the median ms of each model that it asks, and every way but *random* runs the
student first, so asking costs both.
Intervals are 95 %, by a paired bootstrap over users. APGR: share of the Reasoner's gain recovered, averaged over all
shares of asking (random: .5). CPT(x): smallest share of asking that recovers x % of the gain. Saving: cost saved
against always asking the Reasoner, at the first share where the interval of the difference in quality reaches 0;
strict: where its lower end is above minus {tolerance:g}. Both are found on these requests; operating points were not.
"""


def write_page(curve: Curve, folder: Path, *, title: str, figures: Mapping[str, float]) -> None:
    """Writes the four files into a folder.

    Args:
        figures: further figures by name, listed below the tables.
    """
    (folder / MARKDOWN).write_text(markdown(curve, title=title, figures=figures))
    (folder / IMAGE).write_text(plot(curve, title=title))
    write_json(folder / FIGURES, dict(figures))
    (folder / HTML).write_text(figure(curve, title=title).to_html(include_plotlyjs=True, full_html=True))


def markdown(curve: Curve, *, title: str, figures: Mapping[str, float]) -> str:
    """The tables."""
    points = _table(
        ["answers", "asks", "ms", "tokens", "NDCG@10", "interval", "Recall@1", "to the Reasoner", "interval"],
        [_point(point) for point in curve.points],
    )
    heads = [part for percent in CPT for part in (f"CPT({percent})", "interval")]
    ends = ["saving", "interval", "strict saving", "interval"]
    lines = _table(["chooses by", "APGR", "interval", *heads, *ends], [_line(line) for line in curve.lines])
    listed = "\n".join(f"- {name}: {value:.4g}" for name, value in figures.items())
    counts = f"{curve.num_requests:,} requests of {curve.num_users:,} users."
    explained = EXPLAINED.format(tolerance=curve.tolerance).rstrip()
    return "\n\n".join([f"# {title}", f"{counts} {explained}", points, lines, listed]).rstrip() + "\n"


def figure(curve: Curve, *, title: str) -> go.Figure:
    """Lines of all ways over the cost, and the points with their intervals."""
    drawn = go.Figure()
    for line in curve.lines:
        colour = COLOURS.get(line.name, OTHER)
        drawn.add_trace(
            go.Scatter(x=line.ms_G, y=line.ndcg_G, mode="lines", name=escape(line.name), line={"color": colour})
        )
    for point in curve.points:
        ends = {"array": [point.ndcg.high - point.ndcg.value], "arrayminus": [point.ndcg.value - point.ndcg.low]}
        drawn.add_trace(
            go.Scatter(
                x=[point.ms],
                y=[point.ndcg.value],
                error_y={"type": "data", **ends},
                mode="markers",
                name=escape(point.name),
                marker={"size": 10},
            )
        )
    drawn.update_layout(title=escape(title), template="plotly_white")
    drawn.update_xaxes(title="mean cost of a request, ms")
    drawn.update_yaxes(title="NDCG@10")
    return drawn


def _point(point: Point) -> list[str]:
    return [
        point.name,
        f"{point.share:.0%}",
        f"{point.ms:.3g}",
        f"{point.tokens:.0f}",
        f"{point.ndcg.value:.4f}",
        _ends(point.ndcg, ".4f"),
        f"{point.recall.value:.4f}",
        f"{point.difference.value:+.4f}",
        _ends(point.difference, "+.4f"),
    ]


def _line(line: Line) -> list[str]:
    cpt = [part for percent in CPT for part in _figure(line.cpt[percent] if line.cpt else None, ".0%")]
    return [
        line.name,
        *_figure(line.apgr, ".3f"),
        *cpt,
        *_figure(line.saving, ".0%"),
        *_figure(line.strict_saving, ".0%"),
    ]


def _figure(interval: Interval | None, form: str) -> list[str]:
    """The value and its interval, which has no ends where the Reasoner's gain may as well be none."""
    if interval is None:
        return [NO_FIGURE] * 2
    bounded = np.isfinite([interval.low, interval.high]).all()
    return [f"{interval.value:{form}}", _ends(interval, form) if bounded else "unbounded"]


def _ends(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} to {interval.high:{form}}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])
