"""What the console asks the service for: users with log and narrative, categories, status, an answer taken apart."""

import asyncio
import os
from datetime import timedelta

import httpx
import pytest
from console_world import open_console, write_users, write_world
from serving_world import START

from raconteur.types import Event


@pytest.fixture
def console(tmp_path):
    write_world(tmp_path)
    console = open_console(tmp_path)
    yield console
    asyncio.run(console.service.close())


@pytest.fixture
def call(console):
    def send(method, path, **arguments):
        async def once():
            transport = httpx.ASGITransport(console.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(once())

    return send


def inspect(call, user_id, **request):
    answer = call("POST", "/v1/inspect", json={"user_id": user_id, **request})
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_item(inspection, field):
    return {item["item_id"]: item[field] for item in inspection["candidates"]}


# The page


def test_page_allows_nothing_from_elsewhere_and_nothing_inline(call):
    page = call("GET", "/console")
    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe-inline" not in policy


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("console.css", "text/css"), ("console.js", "text/javascript"), ("mark.svg", "image/svg+xml")],
)
def test_assets_come_with_their_media_type(call, name, media_type):
    asset = call("GET", f"/console/assets/{name}")
    assert (asset.status_code, asset.headers["content-type"].split(";")[0]) == (200, media_type)
    assert asset.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "..%2Fconsole_api.py", "..%2F..%2F..%2Fpyproject.toml", "%2Fetc%2Fpasswd"])
def test_assets_nothing_else_of_the_disk_can_be_read(call, name):
    assert call("GET", f"/console/assets/{name}").status_code == 404


# Users


def test_users_are_found_by_the_beginning_of_their_id_in_order(call):
    assert call("GET", "/v1/users").json() == {"users": ["shy", "sure", "torn"], "complete": True}
    assert call("GET", "/v1/users?prefix=s").json() == {"users": ["shy", "sure"], "complete": True}
    assert call("GET", "/v1/users?prefix=s&limit=1").json() == {"users": ["shy"], "complete": False}
    assert call("GET", "/v1/users?prefix=.*").json() == {"users": [], "complete": True}


def test_users_a_new_table_is_read_and_an_old_one_kept(call, tmp_path):
    call("GET", "/v1/users")
    path = tmp_path / "features" / "user_features.parquet"
    write_users(tmp_path, ["mia", "max", "max"])  # as many rows as there are moments; an id is told once
    os.utime(path, ns=(1, 1))
    assert call("GET", "/v1/users").json()["users"] == ["max", "mia"]


def test_users_no_table_yet_is_an_empty_list(call, tmp_path):
    (tmp_path / "features" / "user_features.parquet").unlink()
    assert call("GET", "/v1/users").json() == {"users": [], "complete": True}


def test_users_a_damaged_table_is_said_without_its_path(call, tmp_path):
    (tmp_path / "features" / "user_features.parquet").write_bytes(b"no parquet")
    answer = call("GET", "/v1/users")
    assert answer.status_code == 503
    assert "user_features.parquet cannot be read" in answer.text
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", f"prefix={'x' * 513}"])
def test_users_limits_are_kept(call, query):
    assert call("GET", f"/v1/users?{query}").status_code == 422


def test_user_log_is_newest_first_and_tells_what_is_appended(call, console):
    looked = Event("i2", START + timedelta(hours=1), "look")
    took = Event("i4", START + timedelta(hours=2), "play", 42.0)
    console.store.push("sure", [looked, took], {})
    told = call("GET", "/v1/users/sure").json()
    rows = [(row["item_id"], row["title"], row["event_type"], row["taken"], row["appended"]) for row in told["events"]]
    assert rows == [
        ("i4", "war drama", "play", True, True),
        ("i2", "space romance", "look", False, True),
        ("i1", "space war", "play", True, False),  # the narrative covers it
    ]
    assert (told["num_events"], told["narrative"], told["recent"]) == (
        3,
        "court court",
        "0d look <item:i2> 0d play 42 <item:i4>",
    )
    assert told["narrative_version"] == "verbalizer-1"
    assert told["titles"] == {"i2": "space romance", "i4": "war drama"}


def test_user_without_a_narrative_has_all_events_appended(call, console):
    console.store.push("shy", [Event("i1", START, "look")], {})
    told = call("GET", "/v1/users/shy").json()
    assert (told["narrative"], told["as_of"], told["recent"]) == (None, None, "0d look <item:i1>")
    assert [row["appended"] for row in told["events"]] == [True]


def test_user_nobody_knows_is_a_404_and_a_store_that_is_down_a_503(call, console):
    assert call("GET", "/v1/users/nobody").status_code == 404
    console.store.failure = OSError("disk is gone")
    assert call("GET", "/v1/users/other").status_code == 503


def test_user_id_may_hold_any_character(call, console):
    console.store.users["a/b c?"] = console.store.users["sure"]
    assert call("GET", "/v1/users/a%2Fb%20c%3F").json()["narrative"] == "court court"


# Catalogue, controls, status


def test_categories_are_counted_most_items_first(call):
    assert call("GET", "/v1/catalogue/categories").json() == {
        "categories": [
            {"name": "space", "num_items": 2},
            {"name": "court", "num_items": 1},
            {"name": "lost", "num_items": 1},
            {"name": "war", "num_items": 1},
        ]
    }


def test_controls_name_the_events_of_the_log(call):
    assert call("GET", "/v1/controls").json() == {
        "max_k": 100,
        "take": {"event_type": "play", "value": None},
        "refuse": {"event_type": "refused", "value": None},
    }


def test_status_tells_versions_breakers_traffic_and_caches(call, console):
    inspect(call, "sure")
    inspect(call, "sure")
    inspect(call, "shy")
    status = call("GET", "/v1/status").json()
    assert status["version"] == "v1"
    assert {part["name"]: (part["version"], part["breaker"]) for part in status["parts"]} == {
        "features": (None, "closed"),
        "student": ("v1", "closed"),
        "reasoner": ("v1", "closed"),
    }
    assert status["traffic"]["routes"] == {"student": 2, "cold": 1}
    assert {cache["name"]: cache["entries"] for cache in status["caches"]} == {
        "answers": 2,
        "reasoner": 0,
        "encodings": None,
    }


def test_status_look_ups_of_caches_are_counted(call):
    # The difference of two looks: where another test imported Feast first, all registries of a process share values.
    def answers():
        return next(one for one in call("GET", "/v1/status").json()["caches"] if one["name"] == "answers")

    before = answers()
    for _ in range(3):
        inspect(call, "sure")
    after = answers()
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (2, 1)


def test_status_a_part_that_fails_again_and_again_is_open(call, console):
    console.student.failure = "student failed: connection refused"
    for _ in range(3):  # each asks once for the answer and once for the page
        inspect(call, "sure")
    assert {part["name"]: part["breaker"] for part in call("GET", "/v1/status").json()["parts"]} == {
        "features": "closed",
        "student": "open",
        "reasoner": "closed",
    }


# An answer taken apart


def test_inspect_student_decided_reasoner_is_asked_all_the_same(call):
    told = inspect(call, "sure", k=1)
    assert [item["item_id"] for item in told["answer"]["items"]] == ["i3"]
    assert told["answer"]["route"] == "student"
    assert by_item(told, "retriever_score") == {"i2": 2.0, "i3": 1.0, "i4": 1.0}
    assert by_item(told, "student_score") == {"i2": 0.0, "i3": 2.0, "i4": 0.0}
    assert by_item(told, "reasoner_score") == {"i2": 0.0, "i3": 20.0, "i4": 0.0}
    assert by_item(told, "rank") == {"i2": None, "i3": 1, "i4": None}
    assert told["text"] == "court court"
    assert told["reasoner"]["version"] == "v1"


def test_inspect_reasoner_decided_both_have_the_scores_of_the_answer(call, console):
    told = inspect(call, "torn")
    assert told["answer"]["route"] == "reasoner"
    assert by_item(told, "student_score") == {"i2": 0.0, "i3": 1.0, "i4": 1.0}
    assert by_item(told, "reasoner_score") == {"i2": 0.0, "i3": 10.0, "i4": 10.0}
    assert (console.student.asked, console.reasoner.asked) == (1, 1)  # for the answer; not again for the page


def test_inspect_decision_comes_with_its_signals(call):
    decision = inspect(call, "torn")["decision"]
    assert (decision["ranker"], decision["mode"], decision["threshold"]) == ("reasoner", "uncalibrated", 0.01)
    assert decision["margin"] == pytest.approx(0.0)
    assert decision["signals"]["margin"] == pytest.approx(0.0)
    assert decision["signals"]["cold_user"] == 1.0


def test_inspect_reasoner_down_says_why_it_has_no_scores(call, console):
    console.reasoner.failure = "reasoner failed: connection refused"
    told = inspect(call, "torn")
    assert (told["answer"]["route"], told["answer"]["degraded"]) == ("student", True)
    assert told["reasoner"]["failure"] == "reasoner failed: connection refused"
    assert set(by_item(told, "reasoner_score").values()) == {None}


def test_inspect_student_down_reasoner_still_scores(call, console):
    console.student.failure = "student failed: connection refused"
    told = inspect(call, "sure")
    assert (told["answer"]["route"], told["decision"]) == ("retriever", None)
    assert by_item(told, "reasoner_score") == {"i2": 0.0, "i3": 20.0, "i4": 0.0}


def test_inspect_cold_path_asks_no_ranker(call, console):
    told = inspect(call, "nobody")
    assert (told["answer"]["route"], told["text"], told["decision"]) == ("cold", "", None)
    assert set(by_item(told, "student_score").values()) == {None}
    assert (console.student.asked, console.reasoner.asked) == (0, 0)


def test_inspect_is_a_request_like_any_other(call):
    first, again = inspect(call, "sure"), inspect(call, "sure")
    assert (first["answer"]["cached"], again["answer"]["cached"]) == (False, True)
    assert first["answer"]["items"] == again["answer"]["items"]


def test_inspect_filters_and_exclusions_hold(call):
    told = inspect(call, "sure", filters={"categories": ["war", "court"], "exclude": ["i3"]})
    assert [item["item_id"] for item in told["answer"]["items"]] == ["i4"]


def test_inspect_more_items_than_allowed_is_a_clear_422(call):
    answer = call("POST", "/v1/inspect", json={"user_id": "sure", "k": 101})
    assert (answer.status_code, answer.json()["detail"]) == (422, "k is 101; at most 100 are allowed (serve.max_k)")
