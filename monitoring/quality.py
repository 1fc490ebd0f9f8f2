"""The figure that served Recall@1 is held against: one for each champion.

The release may store it in the version's manifest (`metrics.served_recall_at_1`). Otherwise it is the champion's own
first window of answers whose next take is known, kept in `monitoring/quality/<version>.json`: choosing among retrieved
items is harder than the released choose-1-of-N figure, so that one would announce a loss on the first day.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitoring.decision import MIN_LABELS, ServedQuality
from raconteur.artifacts import write_json
from raconteur.errors import DataError


def served_quality(
    hits: Sequence[bool], folder: Path, *, version: str, manifest: Mapping[str, Any]
) -> ServedQuality | None:
    """
    Args:
        hits: one for each labelled answer of the champion (see served.labelled).
        folder: the run's `monitoring/`.
        manifest: the champion's.

    Returns:
        None without enough labelled answers.
    """
    if len(hits) < MIN_LABELS:
        return None
    recall = sum(hits) / len(hits)
    reference = manifest.get("metrics", {}).get("served_recall_at_1")
    if reference is None:
        reference = _first_window(folder / "quality" / f"{version}.json", recall, len(hits))
    return ServedQuality(recall_at_1=recall, num_labels=len(hits), reference=reference)


def _first_window(path: Path, recall: float, num_labels: int) -> float | None:
    """The kept figure; None on the first call, which keeps this one."""
    if not path.exists():
        write_json(path, {"served_recall_at_1": recall, "num_labels": num_labels})
        return None
    try:
        return float(json.loads(path.read_text())["served_recall_at_1"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no reference figure: {error!r}; remove it to keep a new one") from None
