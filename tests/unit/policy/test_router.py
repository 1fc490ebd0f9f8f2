import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raconteur.artifacts import new_folder
from raconteur.errors import ArtifactError
from raconteur.policy.calibration import Calibration, GainModel, Isotonic
from raconteur.policy.router import Limits, Router, Thresholds
from raconteur.policy.signals import MARGIN, NAMES, RouteRequest

NAN = float("nan")
SURE, UNSURE = np.log([3.0, 1.0]), np.log([1.2, 1.0])  # margins .5 and .0909
scores_of_a_list = hnp.arrays(
    np.float32, st.integers(0, 30), elements=st.one_of(st.floats(-80, 80, width=32), st.just(NAN))
)


def linear_gain():
    """Expected gain = 1 - margin, up to the tie slope."""
    means, scales = [0.0] * len(NAMES), [0.0] * len(NAMES)
    weights = [0.0] * (2 * len(NAMES))
    scales[MARGIN], weights[MARGIN] = 1.0, -1.0
    return GainModel(tuple(means), tuple(scales), tuple(weights), 1.0, Isotonic((0.0, 1.0), (0.0, 1.0)))


ROUTER = Router(
    mode="budget",
    min_margin=0.01,
    limits=Limits(reasoner_p99_ms=50.0, max_load=0.9),
    thresholds=Thresholds(budget=0.7, floor=0.95, conformal=0.4),
    calibration=Calibration(1.0, Isotonic((0.0, 1.0), (0.0, 0.8)), linear_gain()),
    versions={"student": "s1", "reasoner": "r1"},
    costs_ms={"student": 1.0, "reasoner": 10.0},
)


def by_margin(scores, min_margin):
    return Router.uncalibrated(min_margin=min_margin).decide(RouteRequest(scores))


def decide(scores=SURE, router=ROUTER, **request):
    return router.decide(RouteRequest(np.asarray(scores, dtype=np.float32), **request))


def test_uncalibrated_sure_student_keeps_the_request():
    decision = by_margin(SURE, min_margin=0.4)
    assert (decision.ranker, decision.reason) == ("student", "margin 0.500 is at least 0.4, uncalibrated")
    assert (decision.mode, decision.gain, decision.probability, decision.propensity) == ("uncalibrated", None, None, 1)


def test_uncalibrated_unsure_student_asks_the_reasoner():
    decision = by_margin(SURE, min_margin=0.6)
    assert (decision.ranker, decision.reason) == ("reasoner", "margin 0.500 is under 0.6, uncalibrated")


def test_uncalibrated_student_that_knows_nothing_asks_the_reasoner_even_at_threshold_zero():
    assert by_margin(np.array([NAN, NAN]), min_margin=0.0).ranker == "reasoner"


@given(scores_of_a_list, st.floats(0, 1), st.floats(0, 1))
def test_uncalibrated_higher_threshold_never_takes_a_request_from_the_reasoner(scores, one, other):
    low, high = sorted((one, other))
    if by_margin(scores, min_margin=low).ranker == "reasoner":
        assert by_margin(scores, min_margin=high).ranker == "reasoner"


def test_decide_budget_asks_where_the_expected_gain_is_large():
    kept, asked = decide(SURE), decide(UNSURE)
    assert (kept.ranker, kept.mode, kept.propensity) == ("student", "budget", 1.0)
    assert kept.reason == "expected gain +0.5000 is under 0.7"
    assert kept.margin == pytest.approx(0.5)
    assert kept.gain == pytest.approx(0.5, abs=1e-5)
    assert kept.probability == pytest.approx(0.6)  # .8 of .75
    assert (asked.ranker, asked.reason) == ("reasoner", "expected gain +0.9091 is at least 0.7")


def test_decide_quality_takes_the_safer_of_floor_and_promise():
    quality = replace(ROUTER, mode="quality")
    assert quality.threshold == 0.4
    assert decide(SURE, quality).ranker == "reasoner"
    assert replace(quality, thresholds=Thresholds(floor=0.3, conformal=math.inf)).threshold == 0.3


def test_decide_no_threshold_passed_sends_all_to_the_reasoner():
    quality = replace(ROUTER, mode="quality", thresholds=Thresholds(conformal=-math.inf))
    assert decide(np.array([90.0, 0.0]), quality).ranker == "reasoner"


def test_decide_mode_rules_goes_by_the_margin_though_there_is_a_calibration():
    decision = decide(SURE, replace(ROUTER, mode="rules"))
    assert (decision.ranker, decision.mode, decision.gain) == ("student", "uncalibrated", None)


@pytest.mark.parametrize(
    ("request_", "ranker", "words"),
    [
        ({"wants_explanation": True}, "reasoner", "explanation"),
        ({"wants_query": True}, "reasoner", "query"),
        ({"latency_left_ms": 49.0, "scores": UNSURE}, "student", "49 ms are left, the Reasoner's p99 is 50 ms"),
        ({"load": 0.95, "scores": UNSURE}, "student", "load 0.95 is above 0.9"),
        ({"cost_left": 0.99, "scores": UNSURE}, "student", "budget is spent"),
        ({"scores": [NAN, NAN]}, "reasoner", "knows none"),
        ({"scores": [1.0, 1.0, 1.0]}, "reasoner", "alike"),
        ({"scores": [9.0, 0.0, NAN, NAN, NAN]}, "reasoner", "knows 2 of 5"),
        ({"scores": [NAN]}, "student", "one candidate"),
        ({"scores": []}, "student", "no candidate"),
    ],
)
@pytest.mark.parametrize("router", [ROUTER, Router.uncalibrated(min_margin=0.2, limits=ROUTER.limits)])
def test_decide_hard_rules_come_first(request_, ranker, words, router):
    decision = decide(router=replace(router, explore=0.5), **request_)
    assert (decision.ranker, decision.mode, decision.propensity) == (ranker, "rules", 1.0)
    assert words in decision.reason


def test_decide_hard_rules_in_their_order():
    hurried = {"latency_left_ms": 1.0, "load": 1.0, "cost_left": -1.0}
    assert decide(wants_explanation=True, **hurried).ranker == "reasoner"
    assert decide([NAN, NAN], **hurried).ranker == "student"
    assert decide([NAN], wants_explanation=True).ranker == "student"  # nothing to rank or to explain by rank


def test_decide_limits_that_are_just_met_break_nothing():
    assert decide(UNSURE, latency_left_ms=50.0, load=0.9, cost_left=1.0).mode == "budget"
    assert decide(UNSURE, latency_left_ms=NAN, load=NAN, cost_left=NAN).mode == "budget"


def test_decide_student_that_knows_half_of_the_candidates_is_judged():
    assert decide([9.0, 0.0, NAN, NAN]).mode == "budget"


def test_decide_odd_scores_are_named_in_the_reason():
    assert decide([0.0, 2.0, NAN]).reason.endswith("; the student knows 2 of 3 candidates")
    assert decide(SURE, num_asked=10).reason.endswith("; 2 candidates for 10 places")


@given(
    scores_of_a_list, st.integers(-5, 10**6), st.floats(), st.floats(), st.sampled_from(["budget", "quality", "rules"])
)
def test_decide_any_request_is_answered(scores, num_events, load, left, mode):
    decision = decide(scores, replace(ROUTER, mode=mode), num_events=num_events, load=load, latency_left_ms=left)
    assert decision.ranker in ("student", "reasoner")
    assert 0.0 <= decision.margin <= 1.0
    assert 0.0 < decision.propensity <= 1.0
    assert decision.reason


def test_decide_explores_the_stated_share_and_logs_its_chance():
    router = replace(ROUTER, explore=0.1)
    decisions = [decide(SURE, router, request_id=f"r{number}") for number in range(2000)]
    explored = [decision for decision in decisions if decision.ranker == "reasoner"]
    assert len(explored) / 2000 == pytest.approx(0.1, abs=0.02)
    assert {decision.propensity for decision in explored} == {0.1}
    assert {decision.propensity for decision in decisions if decision.ranker == "student"} == {0.9}
    assert explored[0].reason.startswith("explored, though expected gain")
    assert decide(SURE, replace(ROUTER, explore=0.5)).propensity == 1.0  # without an id nothing could be replayed


def test_decide_again_is_the_same_decision():
    router = replace(ROUTER, explore=0.5)
    for number in range(50):
        request = {"request_id": f"r{number}", "scores": np.random.default_rng(number).normal(size=9)}
        assert decide(router=router, **request) == decide(router=router, **request)


def test_decide_scores_at_log_precision_decide_alike():
    scores = np.random.default_rng(0).normal(size=20)  # float64; the log keeps float32
    assert ROUTER.decide(RouteRequest(scores)) == ROUTER.decide(RouteRequest(scores.astype(np.float32)))


def test_router_written_and_read_is_the_same(tmp_path):
    router = replace(ROUTER, explore=0.02, thresholds=Thresholds(0.1, math.inf, -math.inf), fallback="why")
    with new_folder(tmp_path / "router") as folder:
        router.write(folder)
    loaded = Router.load(tmp_path / "router", student_version="s1", reasoner_version="r1")
    assert replace(loaded, version=router.version) == router
    assert len(loaded.version) == 12
    assert decide(UNSURE, loaded) == decide(UNSURE, router)


def test_router_version_changes_with_what_it_decides(tmp_path):
    for name, router in (("one", ROUTER), ("other", replace(ROUTER, explore=0.3)), ("same", ROUTER)):
        with new_folder(tmp_path / name) as folder:
            router.write(folder)
    one, other, same = (Router.read(tmp_path / name).version for name in ("one", "other", "same"))
    assert one == same != other


@pytest.mark.parametrize("versions", [("s2", "r1"), ("s1", "r2")])
def test_load_calibration_for_other_models_is_refused(versions, tmp_path):
    with new_folder(tmp_path / "router") as folder:
        ROUTER.write(folder)
    with pytest.raises(ArtifactError, match="is calibrated for"):
        Router.load(tmp_path / "router", student_version=versions[0], reasoner_version=versions[1])


def test_read_changed_or_absent_router_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        Router.read(tmp_path)
    with new_folder(tmp_path / "empty"):
        pass
    with pytest.raises(ArtifactError, match="is no router"):
        Router.read(tmp_path / "empty")
    with new_folder(tmp_path / "router") as folder:
        ROUTER.write(folder)
    (tmp_path / "router" / "router.json").write_text("{}")
    with pytest.raises(ArtifactError, match="checksum"):
        Router.read(tmp_path / "router")


def test_with_threshold_moves_what_decides_and_explores_nothing():
    other = replace(ROUTER, explore=0.5).with_threshold(0.45)
    assert (other.threshold, other.explore) == (0.45, 0.0)
    assert decide(SURE, other).ranker == "reasoner"
    assert Router.uncalibrated(min_margin=0.1).with_threshold(0.6).threshold == 0.6
