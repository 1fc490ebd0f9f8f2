import json
from dataclasses import replace

import numpy as np
import pytest

from raconteur.config.load import load
from raconteur.errors import ArtifactError, DataError
from raconteur.evaluate.routing import Cost, read_requests
from raconteur.policy.router import Router
from raconteur.policy.signals import RouteRequest
from raconteur.train.calibrate import _held_out, budget_share, calibrate, certify, draw, look

NAN = float("nan")
FIGURES = {"ece_before", "ece_after", "apgr", "saving", "strict_saving", "conformal_share", "broken_rate", "fallback"}


def config_with(*overrides):
    return load([], ["evaluate.num_bootstrap=100", *overrides])


@pytest.fixture(scope="module")
def requests(tmp_path_factory, route_rows, write_requests):
    return write_requests(tmp_path_factory.mktemp("known") / "requests", route_rows(1000))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, requests):
    out = tmp_path_factory.mktemp("calibrated") / "router"
    return out, calibrate(config_with(), requests, out)


def test_calibrate_finds_the_known_law(calibrated):
    _, figures = calibrated
    assert figures.keys() >= FIGURES
    assert figures["ece_before"] > 0.1  # scores are 2.5 times too sure
    assert figures["ece_after"] < 0.06
    assert figures["apgr"] > 0.6
    assert figures["budget_share"] <= 0.3
    assert 0.0 < figures["conformal_share"] < 1.0
    assert figures["conformal_harmed"] < 0.1
    assert figures["broken_surely_rate"] <= 0.1
    assert figures["fallback"] == 0.0


def test_calibrate_fits_on_some_users_and_certifies_on_the_others(calibrated, requests):
    figures = calibrated[1]
    num = len(read_requests(requests).of(split="validation", lists=config_with().route.lists))
    assert figures["num_fitted"] + figures["num_held_out"] == num
    assert min(figures["num_fitted"], figures["num_held_out"]) > num / 3


def test_calibrate_quality_uses_certified_thresholds_alone(calibrated, requests):
    """The floor is chosen by the held-out requests, so it may only be chosen among those that passed on them."""
    router, rows = Router.read(calibrated[0]), read_requests(requests)
    settings = config_with().route
    rows = rows.of(split="validation", lists=settings.lists)
    held_out = _held_out(rows)
    fitted, holding = (look(router.calibration, rows.take(part)) for part in (~held_out, held_out))
    certified = certify(settings, fitted, holding)
    assert router.thresholds.conformal == pytest.approx(certified.threshold)
    assert min(abs(router.thresholds.floor - one) for one in certified.passed) < 1e-9
    assert replace(router, mode="quality").threshold == router.thresholds.floor <= certified.threshold


def test_certify_a_larger_stated_margin_lets_the_student_keep_more(calibrated, requests):
    router, rows = Router.read(calibrated[0]), read_requests(requests)
    rows = rows.of(split="validation", lists=config_with().route.lists)
    fitted, holding = (look(router.calibration, rows.take(part)) for part in (~_held_out(rows), _held_out(rows)))
    strict, lenient = (
        certify(config_with(f"route.regret={regret}").route, fitted, holding).num_student for regret in (0.0, 0.5)
    )
    assert strict < lenient


def test_certify_counts_a_user_once(calibrated, requests):
    router, rows = Router.read(calibrated[0]), read_requests(requests)
    rows = rows.of(split="validation", lists=config_with().route.lists)
    fitted, holding = (rows.take(part) for part in (~_held_out(rows), _held_out(rows)))
    twice = holding.take(np.repeat(np.arange(len(holding)), 2))
    once, again = (
        certify(config_with().route, look(router.calibration, fitted), look(router.calibration, part))
        for part in (holding, twice)
    )
    assert once == again


def test_calibrate_writes_a_router_for_these_models(calibrated):
    folder, _ = calibrated
    router = Router.load(folder, student_version="s1", reasoner_version="r1")
    assert (router.mode, router.fallback, router.explore) == ("budget", "", 0.01)
    assert router.limits.reasoner_p99_ms == 25.0
    assert router.costs_ms == {"student": 1.0, "reasoner": 10.0}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["kind"] == "router"
    assert manifest["metrics"]["ece_after"] == calibrated[1]["ece_after"]


def test_calibrate_again_is_the_same(calibrated, requests, tmp_path):
    assert calibrate(config_with(), requests, tmp_path / "router") == calibrated[1]
    assert Router.read(tmp_path / "router").version == Router.read(calibrated[0]).version


def test_calibrated_router_decides_as_the_table_says(calibrated, requests):
    router, table = Router.read(calibrated[0]), read_requests(requests)
    scored = look(router.calibration, table)
    for row in range(0, len(table), 97):
        decision = router.decide(
            RouteRequest(table.student_BN[row], int(table.num_events_B[row]), int(table.num_cold_B[row]))
        )
        assert decision.gain == pytest.approx(scored.gain_B[row])
        assert decision.probability == pytest.approx(scored.probability_B[row])


def test_calibrate_never_sees_the_test_split(calibrated, route_rows, write_requests, tmp_path):
    rows = [{**row, "truth": -1} if row["split"] == "test" else row for row in route_rows(1000)]
    assert calibrate(config_with(), write_requests(tmp_path / "requests", rows), tmp_path / "router") == calibrated[1]


def test_calibrate_useless_reasoner_falls_back_and_says_so(route_rows, write_requests, tmp_path, capsys):
    rows = [{**row, "reasoner": row["student"]} for row in route_rows(200)]
    figures = calibrate(config_with(), write_requests(tmp_path / "requests", rows), tmp_path / "router")
    router = Router.read(tmp_path / "router")
    assert (router.mode, figures["fallback"]) == ("rules", 1.0)
    assert "no better than the student" in router.fallback
    assert "falls back" in capsys.readouterr().out
    assert "apgr" not in figures
    decision = router.decide(RouteRequest(np.array([2.0, 2.0 - 1e-6])))
    assert (decision.mode, decision.ranker) == ("uncalibrated", "student")  # unsure, but there is nothing to gain


def test_calibrate_promise_that_cannot_be_kept_asks_always(route_rows, write_requests, tmp_path):
    rows = route_rows(300, gain=8.0)
    for row in rows:  # the Reasoner is always right
        row["reasoner"][row["truth"]] = 99.0
        row["student"][row["truth"]] -= 99.0
    config = config_with("route.mode=quality")
    figures = calibrate(config, write_requests(tmp_path / "requests", rows), tmp_path / "router")
    assert (figures["conformal_share"], figures["fallback"]) == (0.0, 0.0)
    assert Router.read(tmp_path / "router").threshold == -np.inf


def test_calibrate_odd_scores_are_no_hindrance(route_rows, write_requests, tmp_path):
    rows = route_rows(120)
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["student"] = [NAN] * 10
        elif number % 3 == 1:
            row |= {"student": [1.0] * 10, "truth": -1}
    figures = calibrate(config_with(), write_requests(tmp_path / "requests", rows), tmp_path / "router")
    assert all(np.isfinite(value) for value in figures.values())


@pytest.mark.parametrize(
    ("num_users", "overrides"), [(49, []), (60, ["route.lists=popularity"])], ids=["few", "other lists"]
)
def test_calibrate_too_few_requests_fall_back_and_say_so(num_users, overrides, route_rows, write_requests, tmp_path):
    folder = write_requests(tmp_path / "requests", route_rows(num_users))
    assert calibrate(config_with(*overrides), folder, tmp_path / "router") == {"fallback": 1.0}
    router = Router.read(tmp_path / "router")
    assert not router.calibrated
    assert "50 of each are needed" in router.fallback


def test_calibrate_malformed_requests_are_refused(route_rows, write_requests, tmp_path):
    rows = [{**row, "truth": 10} for row in route_rows(60)]
    with pytest.raises(DataError, match="truth outside"):
        calibrate(config_with(), write_requests(tmp_path / "requests", rows), tmp_path / "router")


def test_draw_our_router_beats_random_and_the_promise_holds_on_the_test_split(calibrated, requests, tmp_path):
    figures = draw(config_with(), requests, calibrated[0], tmp_path / "curve")
    assert figures["apgr"] > 0.6
    assert figures["ece_after"] < figures["ece_before"]
    assert figures["conformal_broken"] < 0.12
    page = (tmp_path / "curve" / "curve.md").read_text()
    for way in ("student", "reasoner", "middle", "router: budget", "router: conformal", "margin", "random", "oracle"):
        assert f"| {way} |" in page
    assert json.loads((tmp_path / "curve" / "curve.json").read_text()) == figures
    assert (tmp_path / "curve" / "curve.html").stat().st_size > 10**6


def test_draw_router_of_other_models_is_refused(calibrated, route_rows, write_requests, tmp_path):
    folder = write_requests(tmp_path / "requests", route_rows(60), versions={"student": "s2", "reasoner": "r1"})
    with pytest.raises(ArtifactError, match="is calibrated for student s1, not for s2"):
        draw(config_with(), folder, calibrated[0], tmp_path / "curve")


def test_budget_share_of_ms_leaves_the_student_its_own():
    costs = {"student": Cost(1.0), "reasoner": Cost(10.0)}
    still = "route.explore=0.0"
    assert budget_share(config_with(still, "route.budget_share=0.2").route, costs) == 0.2
    assert budget_share(config_with(still, "route.budget_ms=4.0").route, costs) == pytest.approx(0.3)
    assert budget_share(config_with(still, "route.budget_ms=0.5").route, costs) == 0.0
    assert budget_share(config_with(still, "route.budget_ms=99.0").route, costs) == 1.0


def test_budget_share_with_exploration_keeps_the_budget():
    share = budget_share(config_with("route.explore=0.1", "route.budget_share=0.3").route, {})
    # A quarter is to ask: nine of ten of it do, and one of ten of the rest.
    assert share == pytest.approx(0.25)
    assert budget_share(config_with("route.explore=0.1", "route.budget_share=0.05").route, {}) == 0.0
    assert budget_share(config_with("route.explore=0.5").route, {}) == 0.0
