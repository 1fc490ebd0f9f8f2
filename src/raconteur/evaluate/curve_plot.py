"""A curve as an SVG image: quality over cost of every way of choosing, and the operating points with their intervals.

Axis letter: G shares of asking.
"""

from raconteur.evaluate import svg
from raconteur.evaluate.curve import ORACLE, RANDOM, Curve

COLOURS = {RANDOM: "#7a8698", ORACLE: svg.FAINT, "margin": "#d98a2b", "router": "#17a673"}
OTHER = "#5b8def"
LEFT, TOP, WIDTH, HEIGHT, LEGEND = 70, 40, 460, 300, 190
TICKS = 5


def plot(curve: Curve, *, title: str) -> str:
    """The oracle runs along the upper edge where it is above the others, which it would flatten."""
    lines = {line.name: (line.ms_G.tolist(), line.ndcg_G.tolist()) for line in curve.lines}
    told = [value for name, (_, ndcg) in lines.items() if name != ORACLE for value in ndcg]
    told += [end for point in curve.points for end in (point.ndcg.low, point.ndcg.high)]
    costs = [value for ms, _ in lines.values() for value in ms] + [point.ms for point in curve.points]
    low, high, most = min(told), max(told), max(costs) or 1.0
    room = (high - low) or 1.0

    def x(ms: float) -> float:
        return round(LEFT + WIDTH * ms / most, 1)

    def y(ndcg: float) -> float:
        return round(TOP + HEIGHT * (1 - (min(ndcg, high) - low) / room), 1)

    parts = [svg.text(LEFT, TOP - 16, title, anchor="start")]
    for number in range(TICKS + 1):
        ms, ndcg = most * number / TICKS, low + room * number / TICKS
        parts += [
            svg.line(x(ms), TOP, x(ms), TOP + HEIGHT, svg.FAINT),
            svg.text(x(ms), TOP + HEIGHT + 18, f"{ms:.1f}"),
            svg.line(LEFT, y(ndcg), LEFT + WIDTH, y(ndcg), svg.FAINT),
            svg.text(LEFT - 8, y(ndcg) + 4, f"{ndcg:.3f}", anchor="end"),
        ]
    parts.append(svg.text(LEFT + WIDTH / 2, TOP + HEIGHT + 38, "cost of a request, ms; upwards: NDCG@10"))
    for place, (name, (ms_G, ndcg_G)) in enumerate(lines.items()):
        colour = COLOURS.get(name, OTHER)
        places = [(x(ms), y(ndcg)) for ms, ndcg in zip(ms_G, ndcg_G, strict=True)]
        parts += [svg.path(places, colour), svg.text(*_legend(place), name, anchor="start", colour=colour)]
    for place, point in enumerate(curve.points, start=len(lines)):
        at = x(point.ms)
        parts += [
            svg.line(at, y(point.ndcg.low), at, y(point.ndcg.high), OTHER),
            svg.dot(at, y(point.ndcg.value), OTHER),
            svg.text(at + 7, y(point.ndcg.value) - 6, str(place - len(lines) + 1), anchor="start"),
            svg.text(*_legend(place), f"{place - len(lines) + 1}  {point.name}", anchor="start"),
        ]
    return svg.image(parts, width=LEFT + WIDTH + LEGEND, height=TOP + HEIGHT + 50)


def _legend(place: int) -> tuple[float, float]:
    return LEFT + WIDTH + 16, TOP + 12 + 20 * place
