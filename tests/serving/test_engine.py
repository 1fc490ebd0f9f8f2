"""The path of a recommendation, and what stands in for each part that fails: the table of serving/path/engine.py."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_service import open_local, user
from serving_world import write_version

from raconteur.errors import ServingError
from raconteur.guard.grounding import ground
from raconteur.types import Candidate
from serving.door.inspector import Inspector
from serving.path.breaker import SpentError
from serving.path.engine import filled
from serving.path.ladder import Asked, Ranked
from serving.path.trace import Stopwatch
from serving.schema import EventIn, RecommendRequest


@pytest.fixture
def world(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, student, reasoner = open_local(tmp_path)
    store.users = {
        "sure": user("sure", ["i1"], "court court"),  # i2 0, i3 2, i4 0
        "torn": user("torn", ["i1"], "drama"),  # i2 0, i3 1, i4 1
        "new": user("new", []),
        "full": user("full", ["i1", "i2", "i3", "i4"], "drama"),
    }
    yield service, store, student, reasoner
    asyncio.run(service.close())


def ask(world, user_id=None, *, k=5, history=None, **asked):
    request = RecommendRequest(user_id=user_id, history=history, k=k, **asked)
    return asyncio.run(world[0].recommend(request))


def shown(served):
    return [candidate.item_id for candidate in served.ranking]


def test_recommend_all_parts_up_student_ranks_unseen_available_items(world):
    served = ask(world, "sure")
    assert shown(served) == ["i3", "i2", "i4"]  # not i1, which was taken, nor i5, which is not available
    assert (served.route, served.degraded, served.version) == ("student", False, "v1")


def test_recommend_k_cuts_the_answer_but_not_the_candidates(world):
    served = ask(world, "sure", k=1)
    assert shown(served) == ["i3"]
    assert len(served.candidates) == 3


def test_recommend_more_than_is_ranked_goes_on_in_the_order_of_retrieval(tmp_path):
    """Popularity proposes i2 (2), then i3 and i4 (1 each); the student knows i4 to be best and is asked for two."""
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, _ = open_local(tmp_path, num_ranked=2)
    store.users = {"sure": user("sure", ["i1"], "war war court")}  # i2 0, i3 1, i4 2
    served = ask((service, store), "sure", k=3)
    assert [candidate.item_id for candidate in served.candidates] == ["i2", "i3"]
    assert shown(served) == ["i3", "i2", "i4"]
    assert [candidate.score for candidate in served.ranking] == [1.0, 0.0, 0.0]  # i4 is proposed no lower than i3
    assert [candidate.source for candidate in served.ranking] == ["popularity"] * 3
    assert len(served.reasons) == 3
    assert "candidates for" not in served.reason  # nothing is missing
    asyncio.run(service.close())


def test_inspect_shows_what_no_model_ranked_behind_the_rest_and_without_scores(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, _ = open_local(tmp_path, num_ranked=2)
    store.users = {"sure": user("sure", ["i1"], "war war court")}
    shown = asyncio.run(Inspector(service).inspect(RecommendRequest(user_id="sure", k=3))).candidates
    assert [(item.item_id, item.rank, item.student_score) for item in shown] == [
        ("i2", 2, 0.0),
        ("i3", 1, 1.0),
        ("i4", 3, None),
    ]
    asyncio.run(service.close())


def test_recommend_named_candidates_are_all_ranked(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, _ = open_local(tmp_path, num_ranked=2)
    store.users = {"sure": user("sure", ["i1"], "war war court")}
    served = ask((service, store), "sure", k=3, candidates=["i2", "i3", "i4"])
    assert shown(served) == ["i4", "i3", "i2"]
    asyncio.run(service.close())


rankings = st.lists(st.floats(-5, 5) | st.just(math.nan), min_size=1, max_size=5)


@given(scores=rankings, rest=st.lists(st.floats(0, 5), max_size=5))
def test_filled_is_shown_in_the_order_of_retrieval_behind_what_was_ranked(scores, rest):
    found = [Candidate(f"r{place}", 9.0 - place / 10, "x") for place in range(len(scores))]
    found += [Candidate(f"f{place}", score, "y") for place, score in enumerate(sorted(rest, reverse=True))]
    ranked = Ranked("student", "", "v1", found[: len(scores)], scores)
    listed = filled(ranked, found)
    assert [one.score for one in listed[: len(scores)]] == pytest.approx(scores, nan_ok=True)
    ids = [one.item_id for one in listed]
    shown = [one.item_id for one in ground(listed, candidates=ids, available=dict.fromkeys(ids, True), k=20).ranking]
    assert sorted(shown[: len(scores)]) == [f"r{place}" for place in range(len(scores))]
    assert shown[len(scores) :] == [f"f{place}" for place in range(len(rest))]


def test_recommend_events_after_the_narrative_are_appended_to_the_text(world):
    store = world[1]
    asyncio.run(world[0].learn(events_request("sure", "i2")))
    served = ask(world, "sure")
    assert served.text.startswith("court court")
    assert "<item:i2>" in served.text
    assert "<item:i1>" not in served.text  # the narrative covers it
    assert "i2" not in shown(served)
    assert store.users["sure"].num_events == 2


def test_recommend_unsure_student_reasoner_ranks(world):
    served = ask(world, "torn")
    assert (served.route, served.routed.decision.margin) == ("reasoner", pytest.approx(0.0))
    assert [candidate.score for candidate in served.ranking] == [10.0, 10.0, 0.0]


def test_recommend_budget_spent_student_ranks_alone_and_the_log_says_why(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, reasoner = open_local(tmp_path, reasoner_per_minute=1, cache_entries=0)
    store.users = {"torn": user("torn", ["i1"], "drama")}
    first, second = (ask((service, store), "torn") for _ in range(2))
    assert (first.route, second.route, reasoner.asked) == ("reasoner", "student", 1)
    assert (second.degraded, second.reason) == (False, "the cost budget is spent")
    assert first.routed.request.cost_left == 1.0
    assert second.routed.request.cost_left <= 0.1
    asyncio.run(service.close())


def test_recommend_budget_of_one_pays_for_one_of_many_that_are_decided_together(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, student, reasoner = open_local(tmp_path, reasoner_per_minute=1)
    store.users = {f"torn{number}": user(f"torn{number}", ["i1"], "drama" + " x" * number) for number in range(8)}
    student.waits_s = reasoner.waits_s = 0.05  # all are decided before the first is ranked

    async def together():
        asked = [RecommendRequest(user_id=name, k=5) for name in store.users]
        return await asyncio.gather(*map(service.recommend, asked))

    routes = [served.route for served in asyncio.run(together())]
    assert sorted(routes) == ["reasoner"] + ["student"] * 7
    assert reasoner.asked == 1
    asyncio.run(service.close())


def test_recommend_budget_is_not_spent_on_a_reasoner_that_is_left_alone_or_known(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, reasoner = open_local(tmp_path, reasoner_per_minute=6, breaker_failures=1)
    store.users = {"torn": user("torn", ["i1"], "drama"), "other": user("other", ["i1"], "drama x")}
    left = lambda: service.engine._ladder._budget.left  # noqa: E731
    first = ask((service, store), "torn")
    assert (first.route, left()) == ("reasoner", pytest.approx(5, abs=0.2))
    again = ask((service, store), "torn", k=2)  # another answer from the same scores
    assert (again.route, reasoner.asked, left()) == ("reasoner", 1, pytest.approx(5, abs=0.2))
    reasoner.failure = "reasoner failed: connection refused"
    served = [ask((service, store), "other", k=k) for k in range(1, 6)]
    assert all(one.degraded for one in served)  # each says that the Reasoner is down, none that the budget is spent
    assert (reasoner.asked, left()) == (2, pytest.approx(4, abs=0.2))
    asyncio.run(service.close())


def test_reason_request_whose_own_time_is_up_pays_for_no_call(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, _, _, reasoner = open_local(tmp_path, reasoner_per_minute=6)
    ladder, stock = service.engine._ladder, service.engine._stock.current
    late = Asked("r1", "drama", [Candidate("i1", 1.0, "fused")], 1, 1, Stopwatch(), budget_ms=0.0)
    with pytest.raises(SpentError):
        asyncio.run(ladder.reason(late, stock))
    assert (reasoner.asked, ladder._budget.left) == (0, pytest.approx(6))
    asyncio.run(service.close())


def test_recommend_answer_of_a_spent_budget_is_not_kept(tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    service, store, _, _ = open_local(tmp_path, reasoner_per_minute=1)
    store.users = {name: user(name, ["i1"], f"drama {name}") for name in ("one", "two")}
    assert ask((service, store), "one").route == "reasoner"
    assert ask((service, store), "two").reason == "the cost budget is spent"
    service.engine._ladder._budget.give_back()
    served = ask((service, store), "two")
    assert (served.route, served.cached) == ("reasoner", False)
    asyncio.run(service.close())


def test_recommend_reasoner_down_student_order_stands(world):
    world[3].failure = "reasoner failed: connection refused"
    served = ask(world, "torn")
    assert (served.route, served.degraded) == ("student", True)
    expected = (
        "margin 0.000 is under 0.01, uncalibrated; 3 candidates for 5 places, but reasoner failed: connection refused"
    )
    assert served.reason == expected
    assert shown(served) == ["i3", "i4", "i2"]


def test_recommend_student_down_retriever_order_stands(world):
    world[2].failure = "student gave no answer within 1500 ms"
    served = ask(world, "sure")
    assert (served.route, served.degraded, served.routed) == ("retriever", True, None)
    assert shown(served) == ["i2", "i3", "i4"]


def test_recommend_features_down_popular_items_stand(world):
    world[1].failure = OSError("disk is gone")
    served = ask(world, "sure")
    assert (served.route, served.degraded) == ("cold", True)
    assert served.reason == "features are down: OSError: disk is gone"
    assert shown(served) == ["i1", "i2", "i3", "i4"]


@pytest.mark.parametrize(("user_id", "reason"), [("nobody", "unknown user"), ("new", "the user has taken nothing yet")])
def test_recommend_nothing_known_gets_popular_items(world, user_id, reason):
    served = ask(world, user_id)
    assert (served.route, served.degraded, served.reason) == ("cold", False, reason)
    assert shown(served) == ["i1", "i2", "i3", "i4"]


def test_recommend_user_who_took_everything_gets_an_empty_answer(world):
    served = ask(world, "full")
    assert (served.route, served.reason, shown(served)) == ("cold", "nothing is left to propose", [])


def test_recommend_raw_history_needs_no_stored_user(world):
    history = [EventIn(item_id="i2"), EventIn(item_id="no such item")]
    served = ask(world, history=history)
    assert served.route in ("student", "reasoner")
    assert served.num_events == 1
    assert "i2" not in shown(served)


def test_recommend_raw_history_of_unknown_items_is_cold(world):
    assert ask(world, history=[EventIn(item_id="no such item")]).route == "cold"


def test_learn_store_down_keeps_the_events_and_says_so(world, tmp_path):
    world[1].failure = ServingError("the online store did not answer")
    answer = asyncio.run(world[0].learn(events_request("sure", "i2", "ghost")))
    assert (answer.accepted, answer.features_updated, answer.unknown_items) == (2, False, ["ghost"])
    world[0].events.close()
    assert len(list((tmp_path / "events").glob("*.parquet"))) == 1


def events_request(user_id, *item_ids):
    from serving.schema import EventsRequest

    return EventsRequest(user_id=user_id, events=[EventIn(item_id=item_id) for item_id in item_ids])
