"""How fast is each build of the student beside torch FP32, in one process and with as many threads for both?

`raconteur quantise` calls it and writes the table that chooses a build: of those that the gate lets through the
fastest, and the smaller of equally fast ones. A call is the model alone, from token ids to scores; encoding texts,
which is the same for all, is a row of its own. The models take turns call by call, so that a busy machine is as unkind
to all of them; processor time beside the clock says what a call costs however long it waited.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.errors import TrainingError
from raconteur.hardware import torch_threads
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.prompts import Layout, Prompts
from raconteur.runtime import start_session
from raconteur.train.quantise import MIB, Lists, Measured, held_out, measure_builds, write_builds
from raconteur.types import FloatArray

Call = Callable[[Layout], object]  # a model at work on encoded prompts

BATCHES = (1, 8, 32)
NUM_CALLS = 200  # of each ranker at each batch size
WARM_CALLS = 10
AS_FAST = 0.95  # of the fastest: within noise of it, so the smaller one is taken
ORIGINAL, ENCODING = "torch fp32", "encoding alone"
TABLE, PAGE = "builds.parquet", "builds.md"


@dataclass(frozen=True)
class Speed:
    """Calls of one batch size."""

    batch: int
    p50_ms: float
    p99_ms: float
    texts_s: float  # texts a second
    cpu_ms: float  # processor time of a call, mean, all threads


def build_table(
    config: Config, data: Path, student: Path, verbalizer: Path, out: Path, *, num_threads: int = 1
) -> pl.DataFrame:
    """Writes `builds.parquet` and `builds.md`; returns a row for torch FP32, each build, and encoding.

    Raises:
        TrainingError: the gate refuses every build.
    """
    source = ChoiceReasoner.load(student)
    calibration, checked = held_out(config, data, verbalizer)
    with torch_threads(num_threads), TemporaryDirectory() as room:
        paths = write_builds(source, config.student.builds, calibration, Path(room))
        measured = measure_builds(config, source, paths, checked)
        calls: dict[str, Call] = {ORIGINAL: _torch_call(source)}
        calls |= {name: _onnx_call(path, num_threads) for name, path in paths.items()}
        speeds = measure_speeds(calls, source.prompts, checked)
    chosen = fastest(measured, speeds)
    table = compared(measured, speeds, chosen, (student / "model.safetensors").stat().st_size / MIB)
    with new_folder(out, kind="builds", threads=num_threads, config=config.model_dump(mode="json")) as folder:
        table.write_parquet(folder / TABLE)
        (folder / PAGE).write_text(_page(table, chosen, num_threads, len(checked.texts)))
    return table


def measure_speeds(
    calls: Mapping[str, Call],
    prompts: Prompts,
    lists: Lists,
    *,
    batches: Sequence[int] = BATCHES,
    num_calls: int = NUM_CALLS,
) -> dict[str, list[Speed]]:
    """Of encoding and of each model, a `Speed` for each batch size; the same prompts for all."""
    speeds: dict[str, list[Speed]] = {name: [] for name in (*calls, ENCODING)}
    for batch in batches:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in speeds}
        for call in range(WARM_CALLS + num_calls):
            start = call * batch % max(1, len(lists.texts) - batch + 1)
            part = lists[start : start + batch]
            began = _now()
            layout, _ = prompts.choices(part.texts, part.candidates)
            taken[ENCODING].append(_since(began))
            for name, model in calls.items():
                began = _now()
                model(layout)
                taken[name].append(_since(began))
        for name, rows in taken.items():
            speeds[name].append(_speed(batch, np.array(rows[WARM_CALLS:])))
    return speeds


def fastest(measured: Sequence[Measured], speeds: Mapping[str, Sequence[Speed]]) -> Measured:
    """Of the builds that the gate lets through, the fastest over all batch sizes; ties go to the smaller.

    Raises:
        TrainingError: the gate refuses every build.
    """
    allowed = [one for one in measured if one.refused is None]
    if not allowed:
        raise TrainingError("the gate refuses every build of the student; put fp32 among student.builds")
    pace = {one.name: float(np.exp(np.mean([np.log(speed.texts_s) for speed in speeds[one.name]]))) for one in allowed}
    first = max(pace.values())
    return min((one for one in allowed if pace[one.name] >= AS_FAST * first), key=lambda one: one.mib)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _speed(batch: int, seconds_C2: FloatArray) -> Speed:
    wall_C, busy_C = seconds_C2.T
    p50_s, p99_s = np.quantile(wall_C, [0.5, 0.99])
    return Speed(batch, p50_s * 1e3, p99_s * 1e3, batch / float(wall_C.mean()), float(busy_C.mean()) * 1e3)


def _torch_call(source: ChoiceReasoner) -> Call:
    @torch.inference_mode()
    def call(layout: Layout) -> object:
        return source.model(*map(torch.from_numpy, (layout.ids_BL, layout.choose_B, layout.places_BN)))

    return call


def _onnx_call(path: Path, num_threads: int) -> Call:
    session = start_session(path, num_threads)
    return lambda layout: session.run(
        ["scores"], {"ids": layout.ids_BL, "choose": layout.choose_B, "candidates": layout.places_BN}
    )


def compared(
    measured: Sequence[Measured], speeds: Mapping[str, Sequence[Speed]], chosen: Measured, source_mib: float
) -> pl.DataFrame:
    """A row for torch FP32, each build and encoding; `times` is how many times torch's pace, by the clock (`times_1` at
    batch 1), by processor time (`cpu_times_1`), and with encoding on both sides (`whole_times_1`).
    """
    near: dict[str, Measured] = {one.name: one for one in measured}
    base = {speed.batch: speed for speed in speeds[ORIGINAL]}
    encoding = {speed.batch: speed.cpu_ms for speed in speeds[ENCODING]}
    rows = []
    for name, of_batches in speeds.items():
        one = near.get(name)
        row: dict[str, object] = {"build": name, "mib": one.mib if one else source_mib if name == ORIGINAL else None}
        for speed in of_batches:
            figures = {
                "p50_ms": speed.p50_ms,
                "p99_ms": speed.p99_ms,
                "texts_s": speed.texts_s,
                "times": speed.texts_s / base[speed.batch].texts_s,
                "cpu_ms": speed.cpu_ms,
                "cpu_times": base[speed.batch].cpu_ms / speed.cpu_ms,
                "whole_times": (base[speed.batch].cpu_ms + encoding[speed.batch])
                / (speed.cpu_ms + encoding[speed.batch]),
            }
            row |= {f"{figure}_{speed.batch}": value for figure, value in figures.items()}
        ndcg = one.fidelity.ndcg if one else None
        row |= {"agreement": one.fidelity.agreement if one else None}
        row |= {"ndcg": ndcg and ndcg.value, "ndcg_low": ndcg and ndcg.low, "ndcg_high": ndcg and ndcg.high}
        row |= {"refused": one.refused if one else None, "chosen": one is chosen}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _page(table: pl.DataFrame, chosen: Measured, num_threads: int, num_lists: int) -> str:
    """The table in Markdown, and the reason for the choice."""
    heads = ["build", "MiB"]
    for batch in BATCHES:
        heads += [f"batch {batch}: p50 / p99 ms", "texts/s (x torch)", "CPU ms (x torch; with encoding)"]
    heads += ["equal first choices", "NDCG@10 difference", "gate"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in table.iter_rows(named=True):
        cells = [row["build"], f"{row['mib']:.2f}" if row["mib"] else ""]
        for batch in BATCHES:
            cells += [f"{row[f'p50_ms_{batch}']:.2f} / {row[f'p99_ms_{batch}']:.2f}"]
            cells += [f"{row[f'texts_s_{batch}']:,.0f} ({row[f'times_{batch}']:.1f})"]
            gains = f"{row[f'cpu_times_{batch}']:.1f}; {row[f'whole_times_{batch}']:.1f}"
            cells += [f"{row[f'cpu_ms_{batch}']:.2f} ({gains})"]
        if row["agreement"] is None:
            cells += ["", "", ""]
        else:
            cells += [
                f"{row['agreement']:.2%}",
                f"{row['ndcg']:+.4f} [{row['ndcg_low']:+.4f}, {row['ndcg_high']:+.4f}]",
            ]
            cells += [row["refused"] or ("**chosen**" if row["chosen"] else "passes")]
        lines.append(f"| {' | '.join(cells)} |")
    why = f"Chosen: {chosen.name}, the fastest build that the gate lets through (the smaller within {1 - AS_FAST:.0%})."
    how = f"{num_lists} held-out lists; {NUM_CALLS} calls a cell, {num_threads} thread(s), all models in turn."
    return "\n".join([*lines, "", why, how, ""])
