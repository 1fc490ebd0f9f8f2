"""Fills the table: runs the cells that are not done, one after another, each with the stages that it lacks."""

import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raconteur.errors import RaconteurError
from raconteur.train.ablate.plan import Cell
from raconteur.train.ablate.stages import bring, upstream


@dataclass(frozen=True)
class Outcome:
    """How a run ended: cells that failed with their reasons, and cells that the time did not suffice for."""

    failed: dict[str, str]
    left: list[str]


def fill(cells: Sequence[Cell], *, max_minutes: float | None = None) -> Outcome:
    """Runs what is not done; a cell that fails is reported and the others go on.

    Args:
        max_minutes: no cell is started later than this; None: all are.
    """
    began = time.monotonic()
    waiting = [cell for cell in cells if not cell.stage.done]
    _say(f"{len(cells) - len(waiting)} of {len(cells)} cells are done")
    failed: dict[str, str] = {}
    broken: dict[Path, str] = {}  # stages that failed: what needs them is not tried again
    for number, cell in enumerate(waiting):
        spent_s = time.monotonic() - began
        if max_minutes is not None and spent_s > 60 * max_minutes:
            return Outcome(failed, [other.name for other in waiting[number:]])
        _say(f"cell {number + 1}/{len(waiting)} {cell.name}{_left(spent_s, number, len(waiting))}")
        behind = upstream(cell.stage)
        known = [broken[step.folder] for step in behind if step.folder in broken]
        if known:
            failed[cell.name] = known[0]
            continue
        try:
            bring(cell.stage, lambda text: _say(f"  {text}"))
        except Exception as error:  # the boundary of a cell
            step = next(step for step in behind if not step.done)
            failed[cell.name] = broken[step.folder] = f"{step.name}: {_reason(error)}"
            _say(f"  failed: {failed[cell.name]}")
    return Outcome(failed, [])


def _left(spent_s: float, num_done: int, num: int) -> str:
    """Shared stages are made by the first cells, so this is more than it will take."""
    if not num_done:
        return ""
    return f", {spent_s / 60:.1f} min spent, at most {spent_s / num_done * (num - num_done) / 60:.0f} min left"


def _reason(error: Exception) -> str:
    if isinstance(error, RaconteurError):
        return str(error)
    traceback.print_exc(file=sys.stderr)
    return f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    print(text, flush=True)
