"""What a client gets to see of a served request."""

import math

from raconteur.types import Candidate
from serving.path.trace import Served
from serving.schema import Evidence, RecommendAnswer, RecommendedItem, Versions


def answer(served: Served) -> RecommendAnswer:
    def item(rank: int, candidate: Candidate, reason: str) -> RecommendedItem:
        return RecommendedItem(
            rank=rank,
            item_id=candidate.item_id,
            title=served.titles.get(candidate.item_id, candidate.item_id),
            score=None if math.isnan(candidate.score) else candidate.score,
            source=candidate.source,
            reason=reason,
            evidence=[
                Evidence(item_id=share.item_id, category=share.category, weight=share.weight)
                for share in served.shares.get(candidate.item_id, ())
            ],
        )

    return RecommendAnswer(
        request_id=served.request_id,
        user_id=served.user_id,
        items=[
            item(rank, candidate, reason)
            for rank, (candidate, reason) in enumerate(zip(served.ranking, served.reasons, strict=True), start=1)
        ],
        route=served.route,
        reason=served.reason,
        degraded=served.degraded,
        cached=served.cached,
        repairs=list(served.repairs),
        versions=Versions(
            model=served.version,
            prompt=served.prompt_version,
            narrative=served.narrative_version,
            catalogue=served.catalogue_version,
        ),
        stage_ms={stage: round(spent_ms, 3) for stage, spent_ms in served.stage_ms.items()},
        latency_ms=round(served.latency_ms, 3),
    )
