"""The champion's router decides, its decisions are logged, and replaying the log decides the same again."""

import asyncio
import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from local_service import open_local, user
from serving_world import TITLES, write_version

from raconteur.artifacts import Registry, content_version, new_folder, seal
from raconteur.config.schema import RouteConfig
from raconteur.policy.calibration import Calibration, GainModel, Isotonic
from raconteur.policy.replay import replay
from raconteur.policy.router import Router, Thresholds
from raconteur.policy.signals import NAMES, RouteRequest
from raconteur.retrieve.rerank import Rerank
from raconteur.types import Candidate
from serving.path.ladder import MAX_ASKED
from serving.path.routing import load_routing
from serving.schema import RecommendRequest

UNSURE = (-1.0, *[0.0] * (2 * len(NAMES) - 1))  # the smaller the margin, the more there is to gain
GAIN = GainModel((0.0,) * len(NAMES), (1.0,) * len(NAMES), UNSURE, 0.5, Isotonic((-1.0, 1.0), (-1.0, 1.0)))
CALIBRATION = Calibration(1.0, Isotonic((0.0, 1.0), (0.0, 1.0)), GAIN)


def write_routed(models, version, *, explore=0.0, of=None, rerank=None):
    """A version with a router that asks where the margin is below one half; `of` makes it one for other models."""
    write_version(models, version)
    folder = models / version
    for kind in ("student", "reasoner"):
        seal(folder / kind, {})
    names = {kind: of or content_version(folder / kind) for kind in ("student", "reasoner")}
    router = Router(
        "budget", 0.01, thresholds=Thresholds(0.0), calibration=CALIBRATION, explore=explore, versions=names
    )
    with new_folder(folder / "router", kind="router") as inside:
        router.write(inside)
    if rerank:
        rerank.save(folder)
    seal(folder, {"artefact": "version"})
    return Registry(models)


@pytest.fixture
def served(tmp_path):
    """Opens a service over a version and asks it for users; returns what was served and the prediction log's folder."""

    def ask(users, **about):
        write_routed(tmp_path / "models", "v1", **about).promote("v1", cause="test")
        service, store, _, _ = open_local(tmp_path)
        store.users = {name: user(name, ["i1"], text) for name, text in users.items()}

        async def run():
            answers = [await service.recommend(RecommendRequest(user_id=name, k=3)) for name in users]
            await service.close()
            return answers

        return asyncio.run(run()), tmp_path / "predictions"

    return ask


TEXTS = {"sure": "court court court", "torn": "drama", "leaning": "court"}


def test_served_decisions_follow_the_calibration_and_replay_to_the_same(served, tmp_path):
    answers, log = served(TEXTS)
    assert [one.route for one in answers] == ["student", "reasoner", "reasoner"]
    assert all(one.routed.decision.mode == "budget" for one in answers)
    router = Router.read(tmp_path / "models" / "v1" / "router")
    replayed = replay(log, router)
    assert len(replayed.requests) == 3
    assert replayed.different == ()


def test_served_request_counts_candidates_that_nobody_took_and_the_log_keeps_it(served):
    rerank = Rerank({"student": (0.0, 0.0, 1.0, 0.0), "reasoner": (0.0, 0.0, 1.0, 0.0)}, {"i1": 3.0, "i2": 2.0})
    answers, log = served({"sure": "court court court"}, rerank=rerank)  # proposed: i2, and i3 and i4 without a take
    assert answers[0].routed.request.num_cold == 2
    assert pl.concat([pl.read_parquet(path) for path in log.glob("[!.]*.parquet")])["num_cold"].to_list() == [2]


def test_served_answer_of_a_student_of_another_version_is_not_judged_by_the_calibration(tmp_path):
    write_routed(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, student, _ = open_local(tmp_path)
    store.users = {"sure": user("sure", ["i1"], "court court court")}
    student._version = "v0"  # while the servers swap
    served = asyncio.run(service.recommend(RecommendRequest(user_id="sure", k=3)))
    asyncio.run(service.close())
    assert (served.routed.decision.mode, served.version) == ("uncalibrated", "v0")


def test_served_request_says_how_loaded_the_reasoner_is(tmp_path):
    write_routed(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, reasoner = open_local(tmp_path)
    store.users = {f"torn{number}": user(f"torn{number}", ["i1"], "drama" + " x" * number) for number in range(3)}
    reasoner.waits_s = 0.3

    async def ask():
        asked = []
        for name in store.users:
            asked.append(asyncio.create_task(service.recommend(RecommendRequest(user_id=name, k=3))))
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*asked)
        await service.close()
        return answers

    assert [one.routed.request.load for one in asyncio.run(ask())] == [0.0, 1 / MAX_ASKED, 2 / MAX_ASKED]


@pytest.mark.parametrize("kind", ["kserve", "openai"])
def test_served_wish_for_words_counts_where_the_reasoner_reads_and_writes_them(kind, tmp_path):
    write_routed(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, _ = open_local(tmp_path, reasoner={"kind": kind})
    store.users = {"sure": user("sure", ["i1"], "court court court")}
    served = asyncio.run(service.recommend(RecommendRequest(user_id="sure", k=3, explain=True, query="court")))
    asyncio.run(service.close())
    reads = kind == "openai"
    request = served.routed.request
    assert (request.wants_explanation, request.wants_query, served.route == "reasoner") == (reads, reads, reads)


def test_served_exploration_is_logged_with_its_propensity_and_replays(served, tmp_path):
    answers, log = served({f"u{number}": "court court court" for number in range(60)}, explore=0.5)
    taken = [one.route for one in answers]
    assert 15 < taken.count("reasoner") < 45
    assert {one.routed.decision.propensity for one in answers} == {0.5}
    replayed = replay(log, Router.read(tmp_path / "models" / "v1" / "router"))
    assert len(replayed.requests) == 60
    assert replayed.different == ()


def test_replay_changed_threshold_finds_other_decisions(served, tmp_path):
    _, log = served(TEXTS)
    router = Router.read(tmp_path / "models" / "v1" / "router")
    other = replace(router, thresholds=Thresholds(budget=10.0))
    assert len(replay(log, other).different) == 2


def test_router_for_other_models_is_not_used_and_the_decision_says_so(served):
    answers, _ = served(TEXTS, of="another")
    assert {one.routed.decision.mode for one in answers} == {"uncalibrated"}
    assert {one.routed.router_version for one in answers} == {"uncalibrated"}


def test_router_is_not_asked_about_a_student_of_another_version(tmp_path):
    write_routed(tmp_path, "v1")
    routing = load_routing(tmp_path / "v1", RouteConfig())
    request = RouteRequest(np.array([2.0, 0.0]))
    assert routing.decide(request, same_version=True).decision.mode == "budget"
    assert routing.decide(request, same_version=False).decision.mode == "uncalibrated"


def test_fallback_keeps_the_limits_of_load_and_time(tmp_path):
    write_routed(tmp_path, "v1", of="another")
    unsure = {"scores": np.array([0.1, 0.1 - 1e-4]), "num_asked": 2}
    routing = load_routing(tmp_path / "v1", RouteConfig(reasoner_p99_ms=50.0, max_load=0.5))
    said = [
        routing.decide(RouteRequest(**unsure, **more), same_version=True).decision
        for more in ({}, {"latency_left_ms": 49.0}, {"load": 0.6})
    ]
    assert [one.ranker for one in said] == ["reasoner", "student", "student"]
    assert said[0].reason.endswith(", uncalibrated")


def test_calibration_says_nothing_of_another_model_that_answers_as_reasoner(tmp_path):
    weights = {"student": (0.0, 1.0, 0.0, 0.0), "reasoner": (0.0, 1.0, 0.0, 0.0)}
    write_routed(tmp_path, "v1", rerank=Rerank(weights, dict.fromkeys(TITLES, 1.0)))
    routing = load_routing(tmp_path / "v1", RouteConfig(), own_reasoner=False)
    assert routing.decide(RouteRequest(np.array([2.0, 0.0])), same_version=True).decision.mode == "uncalibrated"
    candidates = [Candidate("i1", 2.0, "markov"), Candidate("i2", 1.0, "markov")]
    said = np.array([0.0, 5.0])
    assert routing.combined("reasoner", said, candidates).tolist() == [0.0, 5.0]  # as that model says
    assert routing.combined("student", said, candidates).argmax() == 0


def test_rerank_combines_retriever_and_model_in_the_answer(served):
    # the model's score is worth nothing, the retriever's place everything: its order stands
    rerank = Rerank({"student": (0.0, 1.0, 0.0, 0.0), "reasoner": (0.0, 1.0, 0.0, 0.0)}, dict.fromkeys(TITLES, 1.0))
    answers, _ = served({"sure": "court court court"}, rerank=rerank)
    assert [candidate.item_id for candidate in answers[0].ranking] == ["i2", "i3", "i4"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([math.nan] * 3, "the student knows none of the candidates"),
        ([0.5, 0.5, math.nan], "the student scores all candidates alike"),
        ([2.0, math.nan, math.nan], "the student knows 1 of 3 candidates"),
    ],
)
def test_router_hears_that_a_student_knows_nothing_although_the_retriever_fills_its_place(tmp_path, said, why):
    write_routed(tmp_path, "v1", rerank=Rerank({"student": (1.0, 1.0, 1.0, 0.0)}, dict.fromkeys(TITLES, 1.0)))
    routing = load_routing(tmp_path / "v1", RouteConfig())
    candidates = [Candidate(item_id, score, "markov") for item_id, score in (("i1", 3.0), ("i2", 2.0), ("i3", 1.0))]
    scores = np.array(said, dtype=np.float32)
    combined = routing.combined("student", scores, candidates)
    assert np.isfinite(combined).all()
    routed = routing.decide(RouteRequest(routing.judged(scores, combined)), same_version=True)
    assert why in routed.decision.reason


def test_router_judges_the_combined_scores_where_the_student_has_an_opinion(tmp_path):
    write_routed(tmp_path, "v1")
    routing = load_routing(tmp_path / "v1", RouteConfig())
    judged = routing.judged(np.array([2.0, math.nan, 1.0]), np.array([5.0, 4.0, 3.0]))
    np.testing.assert_array_equal(judged, [5.0, math.nan, 3.0])


def test_latency_budget_spent_keeps_the_student(tmp_path):
    write_routed(tmp_path / "models", "v1").promote("v1", cause="test")
    path = tmp_path / "models" / "v1" / "router"
    limited = json.loads((path / "router.json").read_text())
    limited["limits"]["reasoner_p99_ms"] = 500.0
    (path / "router.json").write_text(json.dumps(limited))
    seal(path, {})
    seal(tmp_path / "models" / "v1", {"artefact": "version"})
    service, store, _, _ = open_local(tmp_path)
    store.users = {"torn": user("torn", ["i1"], "drama")}

    async def run():
        asked = [RecommendRequest(user_id="torn", latency_budget_ms=budget) for budget in (100.0, 60_000.0)]
        answers = [await service.recommend(one) for one in asked]
        await service.close()
        return answers

    short, long = asyncio.run(run())
    assert (short.route, long.route) == ("student", "reasoner")
    assert "ms are left" in short.reason
