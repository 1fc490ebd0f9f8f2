"""From measured distances and served quality to a decision that can be replayed from its record.

The rule, in order:

1. quality: the served Recall@1 fell below its reference by more than `max_recall_drop`, and the upper end of its 95 %
   interval lies below the reference too. Retrain.
2. drift of behaviour: of the columns on what people take, at least `drift_share` lie beyond their thresholds. Retrain,
   unless most columns on the recording drifted too: takes read from a broken log are no evidence.
3. drift of the log or of the served answers, by the same share of their own columns. Do not retrain: a model would
   learn a broken log as it is, and cannot mend the serving; the reason names what to look at.
4. otherwise none. A season alone (more activity, one category up) moves one behaviour column of four and stays here.
"""

import hashlib
import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from monitoring.measures import MEASURES, Role
from raconteur.artifacts import write_json
from raconteur.errors import DataError

MIN_LABELS = 100  # answers with a known next take; fewer say nothing about quality
MAJORITY = 0.5  # share of the log's columns from which on the log itself is doubted
_Z = 1.96  # two-sided 95 % of the normal distribution


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnDrift(Record):
    """How far one column of the current window lies from the reference."""

    column: str
    role: Role
    score: float
    threshold: float

    @property
    def drifted(self) -> bool:
        return self.score >= self.threshold


class ServedQuality(Record):
    """Label-lagged Recall@1 of the champion's answers."""

    recall_at_1: float
    num_labels: int
    reference: float | None  # None: no figure to hold it against yet

    @property
    def upper(self) -> float:
        """Upper end of the 95 % interval (Wilson's, since a recall near 0 has no symmetric one)."""
        share, n = self.recall_at_1, self.num_labels
        centre = share + _Z**2 / (2 * n)
        spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        return (centre + spread) / (1 + _Z**2 / n)


class DriftInputs(Record):
    """All that the decision depends on."""

    champion: str  # version
    window_start: str  # ISO times; the current window covers (start, end]
    window_end: str
    columns: tuple[ColumnDrift, ...]
    quality: ServedQuality | None
    drift_share: float
    max_recall_drop: float
    notes: tuple[str, ...] = ()


class DriftDecision(Record):
    """What was decided, why, and from what."""

    kind: Literal["none", "drift", "quality"]
    cause: str  # equal for equal reasons; the key under which a retraining is started once
    retrain: bool
    reason: str
    inputs: DriftInputs


def decide(inputs: DriftInputs) -> DriftDecision:
    """Applies the rule above; the same inputs always give the same decision."""
    drifted = {role: _drifted(inputs, role, inputs.drift_share) for role in ("behaviour", "log", "served")}
    if _quality_lost(inputs):
        return _decision(inputs, "quality", (), True, _quality_text(inputs))
    if drifted["behaviour"] and not _drifted(inputs, "log", MAJORITY):
        text = f"behaviour drifted: {_names(inputs, drifted['behaviour'])}"
        return _decision(inputs, "drift", drifted["behaviour"], True, f"{text}. A new model can learn it.")
    if drifted["log"]:
        text = f"the log itself changed: {_names(inputs, drifted['log'])}"
        return _decision(inputs, "drift", drifted["log"], False, f"{text}. Mend the logging before any retraining.")
    if drifted["served"]:
        text = f"our answers changed while behaviour did not: {_names(inputs, drifted['served'])}"
        return _decision(inputs, "drift", drifted["served"], False, f"{text}. Look at features, narratives and routes.")
    return _decision(inputs, "none", (), False, _calm_text(inputs))


def write_decision(decision: DriftDecision, path: Path) -> None:
    write_json(path, decision.model_dump(mode="json"))


def replay(path: Path) -> DriftDecision:
    """Decides again from a record.

    Raises:
        DataError: the file is no decision, or its inputs now lead to another one.
    """
    try:
        stored = DriftDecision.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is no record of a decision: {error}") from None
    again = decide(stored.inputs)
    if again != stored:
        raise DataError(
            f"{path} says {stored.kind} ({stored.cause}), its inputs say {again.kind} ({again.cause}): "
            "the record was edited, or the rule changed since"
        )
    return again


def _drifted(inputs: DriftInputs, role: Role, share: float) -> tuple[ColumnDrift, ...]:
    """The drifted columns of a role, or none where they are too small a share of it.

    The share is of all columns that the role has, not of those that could be measured: a missing table is no evidence.
    """
    total = sum(measure.role == role for measure in MEASURES)
    found = tuple(column for column in inputs.columns if column.role == role and column.drifted)
    return found if found and len(found) >= share * total else ()


def _quality_lost(inputs: DriftInputs) -> bool:
    quality = inputs.quality
    if quality is None or quality.reference is None or quality.num_labels < MIN_LABELS:
        return False
    fell = quality.recall_at_1 < quality.reference - inputs.max_recall_drop
    return fell and quality.upper < quality.reference


def _decision(
    inputs: DriftInputs,
    kind: Literal["none", "drift", "quality"],
    columns: tuple[ColumnDrift, ...],
    retrain: bool,
    reason: str,
) -> DriftDecision:
    """The cause holds the day of the window's end, not its second: a drift seen an hour later is the same."""
    names = ",".join(sorted(column.column for column in columns))
    key = f"{kind}|{names}|{inputs.window_end[:10]}|{inputs.champion}"
    cause = f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return DriftDecision(kind=kind, cause=cause, retrain=retrain, reason=reason, inputs=inputs)


def _names(inputs: DriftInputs, columns: tuple[ColumnDrift, ...]) -> str:
    ordered = sorted(columns, key=lambda column: column.column)
    return ", ".join(f"{column.column} {column.score:.2f} (limit {column.threshold:.2f})" for column in ordered)


def _quality_text(inputs: DriftInputs) -> str:
    quality = inputs.quality
    assert quality is not None
    assert quality.reference is not None
    return (
        f"served Recall@1 fell from {quality.reference:.3f} to {quality.recall_at_1:.3f} over {quality.num_labels} "
        f"answers, more than {inputs.max_recall_drop:.3f}"
    )


def _calm_text(inputs: DriftInputs) -> str:
    found = tuple(column for column in inputs.columns if column.drifted)
    if not inputs.columns:
        return "nothing to compare: " + ("; ".join(inputs.notes) or "no new events")
    if not found:
        return f"none of {len(inputs.columns)} columns drifted"
    return f"only {_names(inputs, found)}: below the share that counts"
