"""A plot of the table as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from raconteur.evaluate import svg

ROW_PX, LABEL_PX, SCALE_PX, MARGIN_PX = 22, 300, 420, 30
TICKS = 5
COLOURS = {"frozen": "#5b8def", "raw": "#d98a2b", "own": "#17a673", "linked": "#8a5cd1"}


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
        return COLOURS.get(self.label.partition(" ")[0], svg.INK)


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

    parts = [svg.text(LABEL_PX, MARGIN_PX - 12, title, anchor="start")]
    for tick in (top * number / TICKS for number in range(TICKS + 1)):
        parts += [
            svg.line(x(tick), MARGIN_PX, x(tick), bottom, svg.FAINT),
            svg.text(x(tick), bottom + 16, f"{tick:.2f}"),
        ]
    if line is not None:
        parts.append(svg.line(x(line), MARGIN_PX, x(line), bottom, svg.INK, dashed=True))
    for number, row in enumerate(rows):
        y = MARGIN_PX + ROW_PX * (number + 0.5)
        parts += [
            svg.text(LABEL_PX - 10, y + 4, row.label, anchor="end"),
            svg.line(x(row.low), y, x(row.high), y, row.colour),
            svg.dot(x(row.value), y, row.colour),
        ]
    return svg.image(parts, width=width, height=height)
