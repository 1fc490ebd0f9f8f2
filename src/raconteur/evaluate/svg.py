"""The few shapes of an SVG image that plots are drawn with: Markdown pages show them, and a reader can search them."""

from collections.abc import Iterable, Sequence
from html import escape

INK, FAINT = "#5b6472", "#c3c9d2"


def image(parts: Iterable[str], *, width: float, height: float) -> str:
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>'
    return "\n".join([frame, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.5"{dash}/>'


def path(points: Sequence[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'


def dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'


def text(x: float, y: float, words: str, *, anchor: str = "middle", colour: str = INK) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'
