"""What load runs and a floor showed: percentiles, throughput, routes, stages, errors; as tables, Markdown and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raconteur.artifacts import write_json
from serving.load.record import BETWEEN, OUTSIDE, Record
from serving.load.watch import Sample

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
LOADS = ("", "answers", "a second", *(f"{name} ms" for name in PERCENTILES), "client us")


@dataclass(frozen=True, slots=True)
class Stage:
    median_ms: float  # over the answers that went through it
    share: float  # of the time that the client waited, over all answers that were not cached


@dataclass(frozen=True, slots=True)
class Summary:
    name: str
    num_answered: int
    per_second: float
    latency_ms: Mapping[str, float]  # by the names of PERCENTILES; empty without an answer
    stages: Mapping[str, Stage]
    routes: Mapping[str, float]  # shares of the answers
    degraded: float
    cached: float
    errors: Mapping[str, int]
    num_unsent: int
    late_p99_ms: float | None  # open loop: how late the client itself was in sending
    client_us: float | None  # processor time of the client for a request; None: there was no client


@dataclass(frozen=True, slots=True)
class Report:
    facts: Mapping[str, str]  # where and what this was
    loads: Sequence[Summary]
    memory: Sample | None  # after the loads
    remarks: Sequence[str]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value at a share of sorted values, between neighbours by straight line."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def summarise(name: str, record: Record) -> Summary:
    ordered, answered = sorted(record.latency_ms), len(record.latency_ms)
    return Summary(
        name=name,
        num_answered=answered,
        per_second=answered / record.seconds if record.seconds else 0.0,
        latency_ms={key: percentile(ordered, share) for key, share in PERCENTILES.items()} if ordered else {},
        stages=_stages(record),
        routes={route: count / answered for route, count in sorted(record.routes.items())},
        degraded=record.num_degraded / answered if answered else 0.0,
        cached=record.num_cached / answered if answered else 0.0,
        errors=dict(record.errors.most_common()),
        num_unsent=record.num_unsent,
        late_p99_ms=percentile(sorted(record.late_ms), 0.99) if record.late_ms else None,
        client_us=1e6 * record.cpu_s / record.num_sent if record.num_sent else None,
    )


def _stages(record: Record) -> dict[str, Stage]:
    total_ms = sum(sum(spent) for spent in record.stage_ms.values())
    return {name: Stage(median(spent), sum(spent) / total_ms) for name, spent in record.stage_ms.items()}


def show(report: Report, console: Console) -> None:
    for name, fact in report.facts.items():
        console.print(f"{name:<16} {fact}", markup=False)
    for head, rows in _tables(report):
        table = Table(*(escape(column) for column in head[:1]))
        for column in head[1:]:
            table.add_column(escape(column), justify="right")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)
    for line in (*_lines(report), *report.remarks):
        console.print(line, markup=False)


def markdown(report: Report) -> str:
    parts = ["\n".join(f"- {name}: {_plain(fact)}" for name, fact in report.facts.items())]
    for head, rows in _tables(report):
        marks = ["---", *("---:" for _ in head[1:])]
        parts.append("\n".join(f"| {' | '.join(map(_plain, row))} |" for row in (head, marks, *rows)))
    parts.append("\n".join(f"- {_plain(line)}" for line in (*_lines(report), *report.remarks)))
    return "\n\n".join(parts) + "\n"


def write(report: Report, path: Path) -> None:
    """Writes the Markdown, and beside it the same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(report))
    write_json(path.with_suffix(".json"), asdict(report))


def _tables(report: Report) -> Iterator[tuple[Sequence[str], list[Sequence[str]]]]:
    """Head and rows of each table: loads, stages by load, memory by part."""
    if report.loads:
        yield LOADS, [_load_row(load) for load in report.loads]
    with_stages = [load for load in report.loads if load.stages]
    if with_stages:
        names = list(dict.fromkeys(name for load in with_stages for name in load.stages))
        ordered = sorted(names, key=(BETWEEN, OUTSIDE).__contains__)  # stable: the stages first, in their order
        head = ("median ms (share)", *(load.name for load in with_stages))
        yield head, [(name, *(_stage_cell(load.stages.get(name)) for load in with_stages)) for name in ordered]
    if report.memory:
        rows = [
            (name, str(part.num_processes), f"{part.pss_mib:,.0f}", f"{part.rss_mib:,.0f}")
            for name, part in report.memory.parts.items()
        ]
        processes = sum(part.num_processes for part in report.memory.parts.values())
        total = ("all", str(processes), f"{report.memory.pss_mib:,.0f}", f"{report.memory.rss_mib:,.0f}")
        yield ("memory", "processes", "PSS MiB", "RSS MiB"), [*rows, total]


def _load_row(load: Summary) -> tuple[str, ...]:
    latencies = (f"{load.latency_ms[key]:.2f}" if load.latency_ms else "-" for key in PERCENTILES)
    client = "-" if load.client_us is None else f"{load.client_us:.0f}"
    return load.name, f"{load.num_answered:,}", f"{load.per_second:,.0f}", *latencies, client


def _stage_cell(stage: Stage | None) -> str:
    return "-" if stage is None else f"{stage.median_ms:.2f} ({stage.share:.0%})"


def _lines(report: Report) -> Iterator[str]:
    """One line a load: routes, degraded, cached; and one for what went wrong in it."""
    for load in report.loads:
        if load.routes:
            mix = ", ".join(f"{route} {share:.0%}" for route, share in load.routes.items())
            yield f"{load.name}: {mix}; degraded {load.degraded:.1%}, cached {load.cached:.1%}"
        if load.errors:
            yield f"{load.name}: FAILED {', '.join(f'{kind} {count:,}' for kind, count in load.errors.items())}"
        if load.num_unsent:
            yield f"{load.name}: {load.num_unsent:,} planned requests were not sent, too many were under way"
        if load.late_p99_ms is not None:
            yield f"{load.name}: the client sent p99 {load.late_p99_ms:.1f} ms after the planned time (counted)"


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
