"""The champion's router and its weights of retriever and model, or what stands in for them.

A version without a calibration, or with one for other models than its own, is routed by the student's margin
(`policy.router`), and every decision then says "uncalibrated". So is a request that a student of another version
answered, as it happens for a moment while the servers swap.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raconteur.artifacts import content_version
from raconteur.config.schema import RouteConfig
from raconteur.errors import ArtifactError
from raconteur.policy.router import Decision, Limits, Router
from raconteur.policy.signals import RouteRequest
from raconteur.retrieve.rerank import FILE, Rerank
from raconteur.types import Candidate, FloatArray

STUDENT, REASONER = "student", "reasoner"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision with all that it depends on: the prediction log keeps it, and replay decides it again."""

    request: RouteRequest
    decision: Decision
    router_version: str


@dataclass(frozen=True, slots=True)
class Routing:
    router: Router
    fallback: Router  # the margin rule
    rerank: Rerank | None  # None: the model's scores stand as they are

    def combined(self, model: str, scores: FloatArray, candidates: Sequence[Candidate]) -> FloatArray:
        """What retriever and model say together of the candidates, which stand in the retriever's order."""
        if self.rerank is None or model not in self.rerank.weights:
            return scores
        retrieved = np.array([candidate.score for candidate in candidates])
        if np.isnan(retrieved).any():  # what the retriever does not know stands with its last
            known = retrieved[~np.isnan(retrieved)]
            retrieved = np.nan_to_num(retrieved, nan=known.min() if len(known) else 0.0)
        return self.rerank.scores(model, scores, [candidate.item_id for candidate in candidates], retrieved)

    def judged(self, scores: FloatArray, combined: FloatArray) -> FloatArray:
        """What the router judges: the combined scores, but only where the student had an opinion.

        Combining fills the place of what a model does not know, and breaks its ties, by the retriever.
        """
        known = np.isfinite(scores)
        if known.sum() > 1 and np.ptp(scores[known]) == 0.0:
            return scores
        return np.where(known, combined, np.nan)

    def num_cold(self, candidates: Sequence[Candidate]) -> int:
        """Candidates that nobody took in training; 0 where that is not known."""
        if self.rerank is None:
            return 0
        return sum(self.rerank.takes.get(candidate.item_id, 0.0) == 0.0 for candidate in candidates)

    def decide(self, request: RouteRequest, *, same_version: bool) -> Routed:
        """
        Args:
            same_version: the student that scored is the one that the calibration is for.
        """
        router = self.router if same_version else self.fallback
        return Routed(request, router.decide(request), router.version)


def load_routing(version: Path, route: RouteConfig, *, own_reasoner: bool = True) -> Routing:
    """
    Args:
        version: a verified version folder.
        route: what decides where there is no calibration, and within which limits.
        own_reasoner: the version's own Reasoner answers. Of another model neither calibration nor weights say anything.

    Raises:
        ArtifactError: the version holds a router or weights that cannot be read.
    """
    limits = Limits(route.reasoner_p99_ms or 0.0, route.max_load)
    fallback = Router.uncalibrated(min_margin=route.min_margin, limits=limits)
    rerank = Rerank.load(version) if (version / FILE).exists() else None
    if not own_reasoner:
        logger.warning("another model than the version's Reasoner answers: the student's margin decides")
        return Routing(fallback, fallback, _of_student(rerank))
    if not (version / "router").exists():
        logger.warning("%s holds no router: the student's margin decides", version)
        return Routing(fallback, fallback, rerank)
    names = {name: content_version(version / name) for name in (STUDENT, REASONER)}
    try:
        router = Router.load(version / "router", student_version=names[STUDENT], reasoner_version=names[REASONER])
    except ArtifactError as error:
        logger.warning("the student's margin decides: %s", error)
        return Routing(fallback, fallback, rerank)
    return Routing(router, replace(fallback, limits=router.limits), rerank)


def _of_student(rerank: Rerank | None) -> Rerank | None:
    if rerank is None:
        return None
    return replace(rerank, weights={name: values for name, values in rerank.weights.items() if name == STUDENT})
