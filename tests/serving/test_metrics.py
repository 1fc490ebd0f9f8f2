"""What Prometheus reads: names, values worked out by hand, and labels that no client can multiply."""

import asyncio
import re
from functools import partial
from pathlib import Path

import httpx
import pytest
from kserve.errors import InvalidInput, ModelNotReady
from local_service import open_local, user
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from serving_world import TITLES, WordOverlap, write_version

from raconteur.artifacts import Registry
from raconteur.errors import ServingError
from serving.door.app import create_app
from serving.door.readiness import Readiness
from serving.follow import Follower
from serving.models.model_server import MAX_WAITING, RankingModel
from serving.path.breaker import Breaker
from serving.path.cache import Cache
from serving.protocol import ranking_request
from serving.records.metrics import MAX_PATHS, Metrics, ModelMetrics

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "observability.md"


def open_readiness():
    readiness = Readiness()
    readiness.open()
    return readiness


def read(page):
    """Samples of a page by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def counted(metrics):
    return read(metrics.text(version="v1"))


def label(page, name):
    """Values that a label takes anywhere on a page."""
    return {value for _, *labels in page for key, value in labels if key == name}


@pytest.fixture
def service(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, *_ = open_local(tmp_path)
    store.users = {"sure": user("sure", ["i1"], "court court")}
    yield service
    asyncio.run(service.close())


def families(page):
    """Names with the suffix that a counter has on the page; the library's own times of creation left out."""
    found = [family for family in text_string_to_metric_families(page.decode()) if not family.name.endswith("_created")]
    assert all(family.documentation for family in found)
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in found}


def test_metrics_are_those_of_the_table_in_the_documentation():
    registry = CollectorRegistry()
    ModelMetrics(registry)
    known = families(Metrics().text(version="v1")) | families(generate_latest(registry))
    documented = set(re.findall(r"`(raconteur_\w+)`", DOCUMENTATION.read_text()))
    assert known == documented


def test_caches_breakers_queue_and_shedding_are_counted_by_what_happened():
    metrics = Metrics()
    for outcome in ("hit", "hit", "miss", "shared", "evicted"):
        metrics.count_cache("answers", outcome)
    metrics.count_cache("scores", "miss")
    metrics.set_breaker("reasoner", open=True)
    metrics.set_breaker("student", open=True)
    metrics.set_breaker("student", open=False)
    metrics.set_queue(in_work=8)
    metrics.count_shed("queue")
    metrics.count_shed("queue")
    metrics.count_read("reasoner", num_tokens=300, processor_ms=12.5)
    metrics.count_read("reasoner", num_tokens=100)

    page = counted(metrics)
    answers = {
        outcome: page["raconteur_cache_total", ("cache", "answers"), ("outcome", outcome)]
        for outcome in ("hit", "miss", "shared", "evicted")
    }
    assert answers == {"hit": 2, "miss": 1, "shared": 1, "evicted": 1}
    assert page["raconteur_cache_total", ("cache", "scores"), ("outcome", "miss")] == 1
    assert page["raconteur_breaker_open", ("part", "reasoner")] == 1
    assert page["raconteur_breaker_open", ("part", "student")] == 0
    assert page["raconteur_requests_in_work",] == 8
    assert page["raconteur_shed_requests_total", ("cause", "queue")] == 2
    assert page["raconteur_tokens_read_total", ("model", "reasoner")] == 400
    assert page["raconteur_processor_ms_total", ("model", "reasoner")] == 12.5


def test_narrative_age_falls_into_buckets_of_events():
    metrics = Metrics()
    for num_events in (0, 3, 1000):
        metrics.observe_narrative_age(num_events)
    page = counted(metrics)
    name = "raconteur_narrative_age_events"
    assert [page[f"{name}_bucket", ("le", bound)] for bound in ("0.0", "2.0", "5.0", "100.0", "+Inf")] == [
        1,
        1,
        2,
        2,
        3,
    ]
    assert page[f"{name}_sum",] == 1003


def test_cache_and_breaker_of_the_path_tell_it_in_their_own_words():
    metrics = Metrics()

    async def work():
        cache = Cache(max_entries=1, ttl_s=60, count=partial(metrics.count_cache, "answers"))
        for key in ("a", "a", "b"):
            await cache.get(key, partial(asyncio.sleep, 0, "value"))
        breaker = Breaker("reasoner", failures=1, pause_s=60, changed=partial(metrics.set_breaker, "reasoner"))
        breaker._fail()

    asyncio.run(work())
    page = counted(metrics)
    assert page["raconteur_cache_total", ("cache", "answers"), ("outcome", "hit")] == 1
    assert page["raconteur_cache_total", ("cache", "answers"), ("outcome", "miss")] == 2
    assert page["raconteur_cache_total", ("cache", "answers"), ("outcome", "evicted")] == 1
    assert page["raconteur_breaker_open", ("part", "reasoner")] == 1


def test_service_answer_is_counted_by_route_stage_and_path(service):
    async def ask():
        transport = httpx.ASGITransport(create_app(service, open_readiness()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.post("/v1/recommendations", json={"user_id": "sure", "k": 1})
            return (await client.get("/metrics")).content

    page = read(asyncio.run(ask()))
    assert page["raconteur_recommendations_total", ("degraded", "false"), ("route", "student")] == 1
    assert page["raconteur_recommendation_seconds_count", ("route", "student")] == 1
    assert page["raconteur_stage_seconds_count", ("stage", "retrieve")] == 1
    assert page["raconteur_requests_total", ("path", "/v1/recommendations"), ("status", "200")] == 1


def test_service_made_up_paths_methods_and_models_add_no_labels(service):
    async def wander():
        transport = httpx.ASGITransport(create_app(service, open_readiness()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for number in range(60):
                await client.get(f"/made/up/{number}")
                await client.request(f"VERB{number}", "/v1/recommendations")
                await client.post(f"/v2/models/model-{number}/infer", json={"inputs": []})
                await client.get(f"/v2/models/model-{number}")
            return (await client.get("/metrics")).content

    page = read(asyncio.run(wander()))
    paths = label(page, "path")
    assert "other" in paths
    assert len(paths) <= 6
    assert not any(character.isdigit() for path in paths for character in path.removeprefix("/v1").removeprefix("/v2"))


def test_metrics_paths_beyond_the_bound_are_counted_together():
    metrics = Metrics()
    for number in range(1000):
        metrics.count_request(f"/made/up/{number}", 404)
    page = counted(metrics)
    assert len(label(page, "path")) == MAX_PATHS + 1
    assert page["raconteur_requests_total", ("path", "other"), ("status", "404")] == 1000 - MAX_PATHS


class Counting(WordOverlap):
    """Counts a token a word that it reads."""

    num_tokens_read = 0

    def score(self, texts, candidates):
        if "fail" in texts:
            raise RuntimeError("the model fails")
        self.num_tokens_read += sum(len(text.split()) for text in texts)
        return super().score(texts, candidates)


@pytest.fixture
def model(tmp_path):
    """A ranking model in this process, and what reads its metrics."""
    write_version(tmp_path, "v1").promote("v1", cause="test")
    registry = CollectorRegistry()
    follower = Follower(Registry(tmp_path), lambda _: Counting(TITLES, 1.0))
    return RankingModel("student", follower, ModelMetrics(registry)), lambda: read(generate_latest(registry))


def test_model_server_counts_calls_texts_tokens_outcomes_and_version(model):
    ranking, page = model

    def ask(texts):
        return asyncio.run(ranking.predict(ranking_request(texts, [["i1"]] * len(texts), model="student")))

    ask(["space war", "drama"])  # three words
    ask(["court"])
    with pytest.raises(InvalidInput):
        ask(["x"] * 65)
    with pytest.raises(ServingError, match="the model fails"):
        ask(["fail"])

    counts, student = page(), ("model", "student")
    outcomes = {
        outcome: counts["raconteur_model_requests_total", student, ("outcome", outcome)]
        for outcome in ("answered", "refused", "failed")
    }
    assert outcomes == {"answered": 2, "refused": 1, "failed": 1}
    assert counts["raconteur_tokens_read_total", student] == 4
    assert [counts["raconteur_model_batch_texts_bucket", ("le", le), student] for le in ("1.0", "2.0")] == [1, 2]
    assert counts["raconteur_model_seconds_count", student] == 2
    assert counts["raconteur_processor_ms_total", student] >= 0
    assert counts["raconteur_model_waiting", student] == 0
    assert counts["raconteur_model_version_info", student, ("version", "v1")] == 1


def test_model_server_more_requests_than_may_wait_are_counted_as_refused(model):
    ranking, page = model

    async def flood():
        asked = [ranking.predict(ranking_request(["war"], [["i1"]], model="student")) for _ in range(MAX_WAITING + 3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(flood())
    assert sum(isinstance(one, ModelNotReady) for one in answers) == 3
    counts, student = page(), ("model", "student")
    assert counts["raconteur_model_requests_total", student, ("outcome", "refused")] == 3
    assert counts["raconteur_model_requests_total", student, ("outcome", "answered")] == MAX_WAITING
    assert counts["raconteur_model_waiting", student] == 0


def test_model_server_requests_that_wait_go_together_and_each_gets_its_own_answer(model):
    ranking, page = model
    texts = [["war"], ["space war", "drama"], ["court"], ["drama"], ["war"]]
    candidates = ["i1", "i2", "i3", "i4"]

    def request(read, shown):
        return ranking_request(read, [shown] * len(read), model="student")

    async def together():
        other = ranking.predict(request(["war"], candidates[:2]))  # another number of candidates: a call of its own
        return await asyncio.gather(*[ranking.predict(request(read, candidates)) for read in texts], other)

    def scores(answer):
        return answer.outputs[0].as_numpy().tolist()

    answers = [scores(answer) for answer in asyncio.run(together())]
    calls = page()["raconteur_model_seconds_count", ("model", "student")]
    alone = [scores(asyncio.run(ranking.predict(request(read, candidates)))) for read in texts]
    assert answers[:-1] == alone
    assert answers[-1] == [alone[0][0][:2]]
    assert calls == 2
