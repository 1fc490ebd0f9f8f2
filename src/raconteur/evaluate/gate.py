"""The gate: may a challenger replace the champion? A pure decision with a record that can be replayed.

Called by release and by the retraining that monitoring starts. Both models answer the same users of the newest slice;
the paired bootstrap interval of their difference in Recall@1 decides. The record holds every input, so that anyone can
ask again and get the same answer.
"""

import hashlib
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from raconteur.artifacts import write_json
from raconteur.errors import ArtifactError
from raconteur.evaluate.bootstrap import Interval, difference_interval, mean_interval
from raconteur.types import FloatArray


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", allow_inf_nan=False)


class StudentLift(_Record):
    """NDCG@10 above chance of the challenger's student and of its Reasoner, on the same users."""

    student: float
    reasoner: float
    min_share: float  # monitor.min_student_share: what is to be kept of the Reasoner's
    excess_high: float  # upper end of the interval of student - min_share * reasoner; below 0: clearly not kept


class GateInputs(_Record):
    """All that a decision depends on; outcomes are Recall@1 a user (0..1), the same users in the same order."""

    challenger: str  # version
    champion: str | None  # version that serves, None before the first promotion
    challenger_outcomes: tuple[float, ...] = Field(min_length=1)
    champion_outcomes: tuple[float, ...] | None
    popularity_outcomes: tuple[float, ...]  # the floor for a first champion
    max_loss: float  # monitor.max_loss: the interval's lower end must be above minus this
    student: "StudentLift | None" = None  # None: nobody asked
    num_resamples: PositiveInt = 1000
    seed: int = 0

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if (self.champion is None) != (self.champion_outcomes is None):
            raise ValueError("a champion comes with its outcomes and outcomes with their champion; give both or none")
        sizes = {
            len(self.challenger_outcomes),
            len(self.popularity_outcomes),
            len(self.champion_outcomes or self.popularity_outcomes),
        }
        if len(sizes) > 1:
            raise ValueError(f"outcomes must be of the same users, got {sorted(sizes)} of them")
        return self


class GateDecision(_Record):
    """What was decided and why."""

    promote: bool
    reason: str
    challenger: str
    rival: str  # the champion's version, or "popularity" where there is none yet
    challenger_recall: float
    rival_recall: float
    difference: float  # challenger - rival, in Recall@1
    difference_low: float
    difference_high: float
    num_users: int
    inputs_hash: str


class _GateRecord(_Record):
    inputs: GateInputs
    decision: GateDecision


def decide(inputs: GateInputs) -> GateDecision:
    """Compares on paired users. Equal inputs give an equal decision.

    With a champion, the lower end of the difference's interval must be above -max_loss: a model that may be worse by
    more does not replace one that works. Without one nothing serves yet, so the mean difference to popularity is held
    against the same bound. A student that keeps too little of its own Reasoner is refused whatever it is held against.
    """
    rival = inputs.champion or "popularity"
    rival_outcomes = inputs.champion_outcomes or inputs.popularity_outcomes
    challenger_U, rival_U = np.array(inputs.challenger_outcomes), np.array(rival_outcomes)
    difference = difference_interval(challenger_U, rival_U, num_resamples=inputs.num_resamples, seed=inputs.seed)
    judged = difference.value if inputs.champion is None else difference.low
    better, untaught = judged > -inputs.max_loss, _untaught(inputs.student)
    return GateDecision(
        promote=better and not untaught,
        reason=_reason(inputs, rival, difference, better) + untaught,
        challenger=inputs.challenger,
        rival=rival,
        challenger_recall=float(challenger_U.mean()),
        rival_recall=float(rival_U.mean()),
        difference=difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
        num_users=len(challenger_U),
        inputs_hash=hashlib.sha256(inputs.model_dump_json().encode()).hexdigest(),
    )


def write_record(path: Path, inputs: GateInputs) -> GateDecision:
    """Decides, and writes decision and inputs as one JSON file."""
    decision = decide(inputs)
    write_json(path, _GateRecord(inputs=inputs, decision=decision).model_dump(mode="json"))
    return decision


def read_record(path: Path) -> GateDecision:
    """The decision in a record, as it was written."""
    return _read(path).decision


def replay(path: Path) -> GateDecision:
    """Decides again from the inputs in a record.

    Raises:
        ArtifactError: the record is unreadable, or its decision does not follow from its inputs.
    """
    record = _read(path)
    decision = decide(record.inputs)
    if decision != record.decision:
        raise ArtifactError(
            f"{path} says promote={record.decision.promote} ({record.decision.reason}), but its inputs give "
            f"promote={decision.promote} ({decision.reason}); the record was changed or written by other code"
        )
    return decision


def student_lift(
    student_B: FloatArray, reasoner_B: FloatArray, *, min_share: float, num_resamples: int = 1000, seed: int = 0
) -> StudentLift:
    """
    Args:
        student_B, reasoner_B: NDCG@10 of each user, less that of a random order: with ten candidates chance alone has
            .45, so a share of the plain figures would say little.
    """
    excess = mean_interval(student_B - min_share * reasoner_B, num_resamples=num_resamples, seed=seed)
    return StudentLift(
        student=float(student_B.mean()),
        reasoner=float(reasoner_B.mean()),
        min_share=min_share,
        excess_high=excess.high,
    )


def _untaught(lift: StudentLift | None) -> str:
    """What the reason adds where the student clearly keeps too little."""
    if lift is None or lift.excess_high >= 0.0:
        return ""
    return (
        f"; the student's NDCG@10 is {lift.student:+.4f} above chance, the Reasoner's {lift.reasoner:+.4f}: "
        f"clearly less than {lift.min_share:.0%} is kept (monitor.min_student_share)"
    )


def _read(path: Path) -> _GateRecord:
    try:
        return _GateRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{path} is no gate record: {error}") from error


def _reason(inputs: GateInputs, rival: str, difference: Interval, better: bool) -> str:
    seen = f"Recall@1 {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] against {rival}"
    if inputs.champion is None:
        return f"{seen}: no champion yet, and {'above' if better else 'not above'} the popularity floor"
    verb = "is above" if better else "is not above"
    return f"{seen}: the lower end {verb} {0.0 - inputs.max_loss:+.4f}"
