from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from raconteur.errors import DataError
from raconteur.policy.calibration import Calibration, GainModel, Isotonic
from raconteur.policy.replay import ANSWERED, LOGGED, read_hits, replay, with_other_threshold
from raconteur.policy.router import Router, Thresholds
from raconteur.policy.signals import MARGIN, NAMES, RouteRequest
from raconteur.pseudonym import pseudonym

SCALES = tuple(float(number == MARGIN) for number in range(len(NAMES)))
WEIGHTS = (*(-scale for scale in SCALES), *[0.0] * len(NAMES))
ROUTER = Router(  # expects a gain of 1 - margin
    mode="budget",
    min_margin=0.01,
    thresholds=Thresholds(budget=0.8),
    calibration=Calibration(
        1.0, Isotonic((0.0, 1.0), (0.0, 1.0)), GainModel((0.0,) * 7, SCALES, WEIGHTS, 1.0, Isotonic((0, 1), (0, 1)))
    ),
    explore=0.2,
    costs_ms={"student": 1.0, "reasoner": 10.0},
    version="v1",
)


def logged_rows(num, router=ROUTER):
    rng = np.random.default_rng(0)
    for number in range(num):
        request = RouteRequest(
            rng.normal(size=5).astype(np.float32),
            num_events=int(rng.integers(30)),
            request_id=f"r{number}",
            wants_query=number % 10 == 0,
            latency_left_ms=None if number % 2 else 100.0,
        )
        decision = router.decide(request)
        yield {
            "request_id": request.request_id,
            "student_scores": request.scores.tolist(),
            "num_events": request.num_events,
            "num_cold": 0,
            "wants_query": request.wants_query,
            "wants_explanation": False,
            "latency_left_ms": request.latency_left_ms,
            "load": 0.0,
            "cost_left": None,
            "router_version": router.version,
            "route": decision.ranker,
            "propensity": np.float32(decision.propensity),
        }


def write_log(folder, rows, *, name="one", schema=LOGGED):
    folder.mkdir(exist_ok=True)
    pl.DataFrame(list(rows), schema=schema).write_parquet(folder / f"{name}.parquet")
    return folder


def test_replay_every_decision_is_the_same(tmp_path):
    replayed = replay(write_log(tmp_path / "log", logged_rows(300)), ROUTER)
    assert len(replayed.requests) == 300
    assert replayed.different == ()
    assert {decision.mode for decision in replayed.decisions} == {"rules", "budget"}


def test_replay_changed_row_is_found(tmp_path):
    rows = list(logged_rows(20))
    rows[3]["route"] = "student" if rows[3]["route"] == "reasoner" else "reasoner"
    rows[7]["propensity"] = 0.5
    replayed = replay(write_log(tmp_path / "log", rows), ROUTER)
    assert replayed.different == ("r3", "r7")


def test_replay_what_no_router_or_another_decided_is_left_and_counted(tmp_path):
    rows = list(logged_rows(6))
    rows[0] |= {"route": "cold", "student_scores": None, "propensity": 1.0}
    rows[1]["router_version"] = "v0"
    rows[2]["router_version"] = None
    log = write_log(tmp_path / "log", rows)
    pl.DataFrame({"request_id": ["old"], "route": ["student"]}).write_parquet(log / "old.parquet")
    (log / ".unfinished.parquet.tmp").write_text("half a file")
    replayed = replay(log, ROUTER)
    assert [request.request_id for request in replayed.requests] == ["r3", "r4", "r5"]
    assert dict(replayed.skipped) == {
        "decided by no router": 1,
        "decided by another router": 2,
        "written without the router's columns": 1,
    }


def test_replay_failed_reasoner_is_told_by_the_decision_column(tmp_path):
    rows = [{**row, "decision": row["route"], "route": "student"} for row in logged_rows(50)]
    schema = pl.Schema({**LOGGED, "decision": pl.String()})
    assert replay(write_log(tmp_path / "log", rows, schema=schema), ROUTER).different == ()


def test_other_threshold_costs_what_its_decisions_cost_and_the_estimate_agrees(tmp_path):
    replayed = replay(write_log(tmp_path / "log", logged_rows(1000)), ROUTER)
    other = with_other_threshold(replayed, ROUTER, 0.5)
    assert other.asked_share > other.logged_share
    assert other.cost_ms == pytest.approx(1 + 10 * other.asked_share)
    assert other.logged_cost_ms == pytest.approx(1 + 10 * other.logged_share)
    for estimate in (other.estimate.ips, other.estimate.snips, other.estimate.doubly_robust):
        assert estimate.low < other.cost_ms < estimate.high


def test_other_threshold_is_valued_by_rewards_and_close_to_the_truth(tmp_path):
    """The Reasoner's items are taken three times as often, whoever asks: .3 against .1. Asking all gives .3."""
    replayed = replay(write_log(tmp_path / "log", logged_rows(4000)), ROUTER)
    rng = np.random.default_rng(1)
    rewards = {
        request.request_id: float(rng.uniform() < (0.3 if ranker == "reasoner" else 0.1))
        for request, (ranker, _) in zip(replayed.requests[:3000], replayed.logged[:3000], strict=True)
    }
    other = with_other_threshold(replayed, ROUTER, 0.5, rewards=rewards)
    truth = 0.1 + 0.2 * other.asked_share
    assert other.quality.num_requests == 3000  # the others' rewards are not known
    assert other.quality.logged < truth - 0.02
    for estimate in (other.quality.other.ips, other.quality.other.snips, other.quality.other.doubly_robust):
        assert estimate.low < truth < estimate.high
    assert "known of no request" in with_other_threshold(replayed, ROUTER, 0.5).quality


def test_other_threshold_whose_quality_the_log_cannot_say_still_has_its_cost(tmp_path):
    replayed = replay(write_log(tmp_path / "log", logged_rows(30)), ROUTER)
    values = [
        with_other_threshold(replayed, ROUTER, 0.5, rewards={request.request_id: 1.0}).quality
        for request in replayed.requests
    ]
    assert any(isinstance(value, str) and "of the 1 requests" in value for value in values)
    assert not all(isinstance(value, str) for value in values)


def test_replay_answers_from_the_cache_are_no_decisions(tmp_path):
    rows = [{**row, "cached": False} for row in logged_rows(40)]
    rows += [{**row, "request_id": f"again{number}", "cached": True} for number, row in enumerate(rows)]
    replayed = replay(write_log(tmp_path / "log", rows, schema=pl.Schema({**LOGGED, "cached": pl.Boolean()})), ROUTER)
    assert len(replayed.requests) == 40
    assert replayed.different == ()
    assert replayed.skipped["answered from the cache"] == 40


def test_read_hits_joins_answers_with_what_was_taken_next(tmp_path):
    key = bytes(range(32))
    events = {
        "user_id": ["a", "a", "a", "b"],
        "item_id": ["seen", "x", "y", "q"],
        "position": [0, 1, 2, 0],
        "is_target": [True, True, True, True],
    }
    data = tmp_path / "data"
    data.mkdir()
    pl.DataFrame(events).write_parquet(data / "events.parquet")
    answers = [
        ("r1", "a", 1, ["z", "x"]),  # x is next
        ("r2", "a", 2, ["x"]),  # y is
        ("r3", "a", 3, ["x"]),  # nothing is known of later
        ("r4", "b", 0, []),
        ("r5", "stranger", 0, ["x"]),
    ]
    rows = [
        {"request_id": one, "user_id": pseudonym(user, key), "num_events": seen, "items": items}
        for one, user, seen, items in answers
    ]
    rows.append({"request_id": "r6", "user_id": None, "num_events": 0, "items": ["x"]})
    log = write_log(tmp_path / "log", rows, schema=ANSWERED)
    write_log(log, logged_rows(2), name="without_items")
    assert read_hits(log, data, key=key) == {"r1": 1.0, "r2": 0.0, "r4": 0.0}
    with pytest.raises(DataError, match="holds no prepared events"):
        read_hits(log, tmp_path / "nowhere", key=key)


def test_other_threshold_without_exploration_is_refused(tmp_path):
    quiet = replace(ROUTER, explore=0.0)
    replayed = replay(write_log(tmp_path / "log", logged_rows(100, quiet)), quiet)
    with pytest.raises(DataError, match=r"route\.explore"):
        with_other_threshold(replayed, quiet, 0.1)


def test_replay_without_a_log_is_refused(tmp_path):
    with pytest.raises(DataError, match="no prediction log"):
        replay(tmp_path, ROUTER)
    (tmp_path / "x.parquet").write_text("not Parquet")
    with pytest.raises(DataError, match="is no prediction log"):
        replay(tmp_path, ROUTER)


def test_other_threshold_of_nothing_is_refused(tmp_path):
    rows = [{**row, "router_version": "v0"} for row in logged_rows(3)]
    with pytest.raises(DataError, match="no logged request"):
        with_other_threshold(replay(write_log(tmp_path / "log", rows), ROUTER), ROUTER, 0.1)
