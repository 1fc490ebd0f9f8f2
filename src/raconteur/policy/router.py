"""Decides which model ranks a request: the student alone, or the Reasoner after it.

A pure function of a request record and a calibration. The serving path calls it once a request; `policy.replay` calls
it again on logged fields and gets the same decision. What decides, in this order:

    one candidate or none                        student     nothing is to be ranked
    explanation or free-text query wanted        Reasoner    only it reads and writes text
    time left below the Reasoner's p99           student
    load above the limit, or the budget is gone  student
    the student knows less than half of the
    candidates, or scores all of them alike      Reasoner
    mode budget, quality                         by the expected gain of asking (`policy.calibration`)
    no calibration, or mode rules                by the margin, `route.min_margin`; the reason says "uncalibrated"

What a gain decides is turned round with probability `explore`, drawn from the request's id, so that logs can value
other thresholds (`policy.offpolicy`). The conformal promise is that of the policy without exploration.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from pydantic import TypeAdapter, ValidationError

from raconteur.artifacts import verify
from raconteur.errors import ArtifactError
from raconteur.policy.calibration import Calibration, first_is_right
from raconteur.policy.signals import (
    ALL_EQUAL,
    MARGIN,
    NO_CANDIDATE,
    NONE_KNOWN,
    ONE_CANDIDATE,
    RouteRequest,
    num_known,
    oddity,
    signals_of,
)

Ranker = Literal["student", "reasoner"]
Mode = Literal["rules", "uncalibrated", "budget", "quality"]
FILE = "router.json"
UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True, slots=True)
class Decision:
    """Who ranks, why, and the signals that decided."""

    ranker: Ranker
    reason: str
    margin: float  # student's probability of its first choice minus that of its second, in [0, 1]
    gain: float | None  # expected NDCG of asking the Reasoner minus that of not asking; None: no calibration
    probability: float | None  # chance that the student's first choice is right; None: no calibration
    propensity: float  # probability with which this ranker was chosen
    mode: Mode  # what decided; "rules": one of the hard ones
    momentary: bool = False  # by time, load or budget: an equal request may be decided otherwise a moment later


@dataclass(frozen=True)
class Limits:
    """What the hard rules compare with."""

    reasoner_p99_ms: float = 0.0
    max_load: float = 1.0


@dataclass(frozen=True)
class Thresholds:
    """Expected gains from which on the Reasoner is asked; -inf: always, inf: never."""

    budget: float = 0.0
    floor: float = 0.0  # certified, and keeps the wanted share of the gain; -inf where no certified one does
    conformal: float = -math.inf


@dataclass(frozen=True)
class Router:
    """The policy of one calibration; `uncalibrated` makes the one that stands in for it."""

    mode: Literal["budget", "quality", "rules"]
    min_margin: float  # for what is decided without calibration
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    calibration: Calibration | None = None
    explore: float = 0.0  # probability of the other ranker where a gain decides
    versions: dict[str, str] = field(default_factory=dict)  # student, reasoner: whom the calibration is for
    costs_ms: dict[str, float] = field(default_factory=dict)  # student, reasoner: median cost of a request
    fallback: str = ""  # why the calibration is not used
    version: str = UNCALIBRATED  # hash of the file; not in the file

    @classmethod
    def uncalibrated(cls, *, min_margin: float, limits: Limits | None = None) -> Self:
        """Keeps the student's answer where its margin is at least `min_margin`; hard rules come first all the same."""
        return cls("rules", min_margin, limits or Limits())

    @classmethod
    def load(cls, folder: Path, *, student_version: str, reasoner_version: str) -> Self:
        """The router of a folder, for the models that serve.

        Raises:
            ArtifactError: the folder is damaged, or calibrated for other models; use `Router.uncalibrated`.
        """
        router = cls.read(folder)
        wanted = {"student": student_version, "reasoner": reasoner_version}
        for name, version in wanted.items():
            if router.versions.get(name) != version:
                raise ArtifactError(
                    f"{folder} is calibrated for {name} {router.versions.get(name)}, not for {version}; "
                    "run `raconteur route calibrate` for the models in use"
                )
        return router

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The router of a folder, whichever models it is for: to look at it or to replay its log."""
        verify(folder)
        try:
            text = (folder / FILE).read_text()
            router: Self = TypeAdapter(cls).validate_json(text)
        except (OSError, ValidationError) as error:
            raise ArtifactError(f"{folder / FILE} is no router: {error}; calibrate again") from error
        return replace(router, version=_hash(text))

    def write(self, folder: Path) -> None:
        """Writes `router.json` into a folder that `artifacts.new_folder` has open."""
        content = asdict(self)
        del content["version"]
        # JSON has no infinity; pydantic reads the texts "inf" and "-inf" as numbers.
        content["thresholds"] = {
            name: value if math.isfinite(value) else str(value) for name, value in content["thresholds"].items()
        }
        (folder / FILE).write_text(json.dumps(content, indent=1, allow_nan=False))

    @property
    def calibrated(self) -> bool:
        """Gains decide; in mode "rules" the calibration is there to be looked at only."""
        return self.calibration is not None and self.mode != "rules"

    @property
    def threshold(self) -> float:
        """The gain, or where none decides the margin, that separates the rankers."""
        if not self.calibrated:
            return self.min_margin
        if self.mode == "quality":  # the promise and the floor: the safer of the two
            return min(self.thresholds.floor, self.thresholds.conformal)
        return self.thresholds.budget

    def with_threshold(self, threshold: float) -> Self:
        """The same router with another threshold and without exploration: what off-policy estimates value."""
        thresholds = Thresholds(threshold, threshold, threshold)
        return replace(self, thresholds=thresholds, min_margin=threshold, explore=0.0)

    def decide(self, request: RouteRequest) -> Decision:
        """Who ranks this request. Equal requests get equal decisions; odd scores never raise."""
        calibration = self.calibration if self.calibrated else None
        signals = signals_of(request, temperature=calibration.temperature if calibration else 1.0)
        margin, odd = float(signals[MARGIN]), oddity(request)
        gain = float(calibration.gain.at(signals)) if calibration else None
        probability = float(first_is_right(calibration, signals)) if calibration else None
        ruled = self._rule(request, odd)
        if ruled:
            ranker, reason, momentary = ruled
            return Decision(ranker, reason, margin, gain, probability, 1.0, "rules", momentary)
        ranker, reason = self._compare(margin, gain)
        if gain is None:
            reason = f"{reason}, uncalibrated"
        if odd:
            reason = f"{reason}; {odd}"
        if gain is None:
            return Decision(ranker, reason, margin, gain, probability, 1.0, "uncalibrated")
        explore = self.explore if request.request_id else 0.0
        if _draw(request.request_id) < explore:
            other: Ranker = "student" if ranker == "reasoner" else "reasoner"
            return Decision(other, f"explored, though {reason}", margin, gain, probability, explore, self.mode)
        return Decision(ranker, reason, margin, gain, probability, 1.0 - explore, self.mode)

    def _rule(self, request: RouteRequest, odd: str) -> tuple[Ranker, str, bool] | None:
        """The hard rule that applies first, if one does, and whether it is about the moment.

        An unknown (NaN) load or time breaks no limit.
        """
        limits, left, budget = self.limits, request.latency_left_ms, request.cost_left
        if odd in (NO_CANDIDATE, ONE_CANDIDATE):
            return "student", odd, False
        if request.wants_explanation:
            return "reasoner", "an explanation is wanted", False
        if request.wants_query:
            return "reasoner", "a free-text query is to be read", False
        if left is not None and left < limits.reasoner_p99_ms:
            return "student", f"{left:.0f} ms are left, the Reasoner's p99 is {limits.reasoner_p99_ms:.0f} ms", True
        if request.load > limits.max_load:
            return "student", f"load {request.load:.2f} is above {limits.max_load:g}", True
        if budget is not None and budget < 1.0:
            return "student", "the cost budget is spent", True
        # No calibration has seen a student that knows few: where candidates come from is where it was trained.
        if odd in (NONE_KNOWN, ALL_EQUAL) or 2 * num_known(request) < len(request.scores):
            return "reasoner", odd, False
        return None

    def _compare(self, margin: float, gain: float | None) -> tuple[Ranker, str]:
        threshold = self.threshold
        if gain is None:
            if margin < threshold:
                return "reasoner", f"margin {margin:.3f} is under {threshold:g}"
            return "student", f"margin {margin:.3f} is at least {threshold:g}"
        if gain >= threshold:
            return "reasoner", f"expected gain {gain:+.4f} is at least {threshold:.4g}"
        return "student", f"expected gain {gain:+.4f} is under {threshold:.4g}"


def _draw(request_id: str) -> float:
    """A number in [0, 1), the same each time for the same request."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8, person=b"explore").digest()) / 2**64


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
