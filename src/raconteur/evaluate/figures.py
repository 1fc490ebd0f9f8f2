"""The report's plots, as Plotly figures in plain JSON.

Colours of text and grid come from the page's CSS, so that one figure serves light and dark. Names come from data and
Plotly reads markup in labels, so every name is escaped here.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
import polars as pl

from raconteur.evaluate.arms import ORACLE
from raconteur.evaluate.inputs import Difference

BAR, BEST, WORSE, FAINT = "#5b8def", "#17a673", "#d9603f", "#7a8698"
ROW_PX = 30  # height of a bar and the air around it
FRAME_PX = 82  # height of axis, title and margins

Figure = dict[str, Any]


def recall_bars(rows: pl.DataFrame, *, best: float, chance: float | None) -> Figure:
    """Recall@1 of every arm of one slice with its 95 % interval; the best stands out, the oracle stands back."""
    recall, low, high = (rows[name].to_list() for name in ("recall_at_1", "recall_low", "recall_high"))
    arms = rows["arm"].to_list()
    bars = go.Bar(
        x=recall,
        y=_labels(arms),
        orientation="h",
        marker_color=[_bar_colour(arm, value, best) for arm, value in zip(arms, recall, strict=True)],
        error_x={
            "type": "data",
            "array": [end - value for end, value in zip(high, recall, strict=True)],
            "arrayminus": [value - end for end, value in zip(low, recall, strict=True)],
            "color": FAINT,
            "thickness": 1.5,
            "width": 4,
        },
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    figure = _horizontal(bars, title="Recall@1", num_rows=len(recall))
    figure.update_xaxes(rangemode="tozero")
    if chance is not None:
        figure.add_vline(
            x=chance, line={"dash": "dot", "color": FAINT}, annotation_text="chance", annotation_position="top"
        )
    return _plain(figure)


def difference_dots(differences: Sequence[Difference]) -> Figure:
    """Paired differences with their intervals around a line at zero."""
    labels = _labels([f"{one.arm} − {one.base}, {one.slice_name}" for one in differences])
    dots = go.Scatter(
        x=[one.value for one in differences],
        y=labels,
        mode="markers",
        marker={"size": 10, "color": [_colour(one) for one in differences]},
        error_x={
            "type": "data",
            "array": [one.high - one.value for one in differences],
            "arrayminus": [one.value - one.low for one in differences],
            "color": FAINT,
            "width": 4,
        },
        hovertemplate="%{y}: %{x:+.3f}<extra></extra>",
    )
    figure = _horizontal(dots, title="difference in Recall@1", num_rows=len(labels))
    figure.add_vline(x=0.0, line={"color": FAINT})
    return _plain(figure)


def bars(values: Mapping[str, float], *, title: str) -> Figure:
    """One horizontal bar a name: seconds of steps, milliseconds of arms, shares of routes."""
    trace = go.Bar(
        x=list(values.values()),
        y=_labels(list(values)),
        orientation="h",
        marker_color=BAR,
        hovertemplate="%{y}: %{x:.3~g}<extra></extra>",
    )
    return _plain(_horizontal(trace, title=title, num_rows=len(values)))


def curve(name: str, values: Sequence[float | None]) -> Figure:
    """A loss or reward over its logged points."""
    figure = go.Figure(go.Scatter(y=list(values), mode="lines", line={"color": BAR, "width": 2}))
    figure.update_layout(title={"text": escape(name), "font": {"size": 14}}, height=260)
    figure.update_xaxes(title="logged point")
    figure.update_yaxes(automargin=True)
    return _plain(figure)


def _horizontal(trace: go.Bar | go.Scatter, *, title: str, num_rows: int) -> go.Figure:
    figure = go.Figure(trace)
    figure.update_yaxes(autorange="reversed", automargin=True)  # the first arm on top, as in the tables
    figure.update_xaxes(title=title)
    figure.update_layout(height=FRAME_PX + ROW_PX * max(num_rows, 2), bargap=0.35)
    return figure


def _bar_colour(arm: str, recall: float, best: float) -> str:
    if arm == ORACLE:
        return FAINT
    return BEST if recall == best else BAR


def _colour(difference: Difference) -> str:
    if not difference.excludes_zero:
        return BAR
    return BEST if difference.value > 0.0 else WORSE


def _labels(names: Sequence[str]) -> list[str]:
    return [escape(name) for name in names]


def _plain(figure: go.Figure) -> Figure:
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 10, "r": 16, "t": 36 if figure.layout.title.text else 22, "b": 44},
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=False,
    )
    result: Figure = json.loads(figure.to_json())
    return result
