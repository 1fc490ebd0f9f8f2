"""A plot of the table as SVG, which Markdown pages show and a reader can search; no plotting library is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

ROW_PX, LABEL_PX, SCALE_PX, MARGIN_PX = 22, 300, 420, 30
TICKS = 5
INK, FAINT = "#5b6472", "#c3c9d2"
COLOURS = {"frozen": "#5b8def", "raw": "#d98a2b", "own": "#17a673"}


@dataclass(frozen=True)
class Dot:
    """An estimate with its interval."""

    label: str
    value: float
    low: float
    high: float

    @property
    def colour(self) -> str:
        """By the arm's Reasoner; grey where there is none."""
        return COLOURS.get(self.label.partition(" ")[0], INK)


def dots(rows: Sequence[Dot], *, title: str, line: float | None = None) -> str:
    """One line a row: a dot and its interval, on a scale from 0.

    Args:
        line: a value to mark from top to bottom: chance.
    """
    top = max([row.high for row in rows] + [line or 0.0], default=1.0) or 1.0
    height, width = 2 * MARGIN_PX + ROW_PX * len(rows), LABEL_PX + SCALE_PX + MARGIN_PX
    bottom = height - MARGIN_PX

    def x(value: float) -> float:
        return round(LABEL_PX + SCALE_PX * value / top, 1)

    parts = [_text(LABEL_PX, MARGIN_PX - 12, title, anchor="start")]
    for tick in (top * number / TICKS for number in range(TICKS + 1)):
        parts += [_line(x(tick), MARGIN_PX, x(tick), bottom, FAINT), _text(x(tick), bottom + 16, f"{tick:.2f}")]
    if line is not None:
        parts.append(_line(x(line), MARGIN_PX, x(line), bottom, INK, dashed=True))
    for number, row in enumerate(rows):
        y = MARGIN_PX + ROW_PX * (number + 0.5)
        parts += [
            _text(LABEL_PX - 10, y + 4, row.label, anchor="end"),
            _line(x(row.low), y, x(row.high), y, row.colour),
            f'<circle cx="{x(row.value)}" cy="{y}" r="4" fill="{row.colour}"/>',
        ]
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>'
    return "\n".join([frame, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.5"{dash}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" fill="{INK}" text-anchor="{anchor}">{escape(text)}</text>'
