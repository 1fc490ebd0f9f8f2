"""The three commands after each other, on a table of 2,000 requests and a log that the router itself wrote."""

import shutil

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from raconteur.artifacts import Registry, new_folder
from raconteur.cli.main import app
from raconteur.policy.replay import LOGGED
from raconteur.policy.router import Router
from raconteur.policy.signals import RouteRequest
from raconteur.pseudonym import pseudonym, pseudonym_key


def raconteur(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, route_rows, write_requests):
    """A workdir with requests, a calibrated router, its curve, and a log of its decisions."""
    folder = tmp_path_factory.mktemp("route")
    rows = route_rows(1000)
    write_requests(folder / "requests", rows)
    done = raconteur("route", "calibrate", *settings(folder), "--set", "route.explore=0.2")
    assert done.exit_code == 0, done.output
    write_log(folder / "predictions", Router.read(folder / "router"), rows)
    return folder


def settings(folder):
    return "--set", f"workdir='{folder}'", "--set", "evaluate.num_bootstrap=100"


def write_log(folder, router, rows):
    logged = []
    for row in rows:
        request = RouteRequest(np.array(row["student"], np.float32), row["num_events"], row["num_cold"], row["user_id"])
        decision = router.decide(request)
        logged.append(
            {
                "request_id": request.request_id,
                "student_scores": request.scores.tolist(),
                "num_events": request.num_events,
                "num_cold": request.num_cold,
                "router_version": router.version,
                "route": decision.ranker,
                "propensity": decision.propensity,
            }
        )
    folder.mkdir()
    pl.DataFrame(logged, schema_overrides={"student_scores": pl.List(pl.Float32)}).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in LOGGED.items() if name not in logged[0]
    ).write_parquet(folder / "log.parquet")


def test_calibrate_writes_the_router(workdir):
    assert Router.load(workdir / "router", student_version="s1", reasoner_version="r1").explore == 0.2


def test_curve_prints_the_tables_and_writes_the_plot(workdir):
    done = raconteur("route", "curve", *settings(workdir))
    assert done.exit_code == 0, done.output
    assert "| oracle |" in done.output
    assert "1,000 requests of 1,000 users" in done.output
    assert (workdir / "curve" / "curve.html").is_file()


def test_replay_decides_all_alike_and_values_another_threshold(workdir):
    done = raconteur("route", "replay", *settings(workdir), "--threshold", "0.05")
    assert done.exit_code == 0, done.output
    assert "2000 of 2000 decisions" in done.output
    assert "doubly robust" in done.output


def test_replay_by_default_takes_the_router_of_the_champion(workdir, tmp_path):
    other = tmp_path / "other"
    requests = ("--requests", workdir / "requests")
    raconteur("route", "calibrate", *settings(tmp_path), *requests, "--out", other, "--set", "route.explore=0.3")
    for version, router in (("v1", workdir / "router"), ("v2", other)):
        with new_folder(tmp_path / "models" / version, kind="version") as folder:
            shutil.copytree(router, folder / "router")
    Registry(tmp_path / "models").promote("v1", cause="test")
    asked = ("route", "replay", *settings(tmp_path), "--log", workdir / "predictions")
    assert "2000 of 2000 decisions" in raconteur(*asked).output
    Registry(tmp_path / "models").promote("v2", cause="test")
    done = raconteur(*asked)
    assert "0 of 0 decisions" in done.output
    assert "decided by another router: 2000" in done.output
    assert done.exit_code == 3  # a check that checked nothing is not passed


def test_replay_values_a_threshold_by_what_was_taken_next(workdir, tmp_path):
    key = pseudonym_key(tmp_path)
    log = pl.read_parquet(workdir / "predictions" / "log.parquet").unique("request_id", maintain_order=True)
    users = [f"user{number}" for number in range(log.height)]
    answered = log.with_columns(
        pl.Series("user_id", [pseudonym(user, key) for user in users]),
        items=pl.Series([["x", "y"]] * log.height),
    )
    (tmp_path / "log").mkdir()
    answered.write_parquet(tmp_path / "log" / "log.parquet")
    (tmp_path / "incoming").mkdir()
    half = ["x" if number % 2 else "z" for number in range(len(users))]
    events = {"user_id": users, "item_id": half, "position": log["num_events"], "is_target": [True] * len(users)}
    pl.DataFrame(events).write_parquet(tmp_path / "incoming" / "events.parquet")
    asked = (*settings(tmp_path), "--log", tmp_path / "log", "--router", workdir / "router", "--threshold", "0.05")
    told = " ".join(raconteur("route", "replay", *asked).output.split())
    assert "took one of the items shown next │ 0.5000 of 1000" in told
    assert "taken, doubly robust" in told


def test_replay_changed_decision_is_named_and_fails(workdir, tmp_path):
    log = pl.read_parquet(workdir / "predictions" / "log.parquet")
    log.with_columns(propensity=pl.lit(0.5)).write_parquet(tmp_path / "log.parquet")
    done = raconteur("route", "replay", *settings(workdir), "--log", tmp_path)
    assert done.exit_code == 1
    assert "0 of 2000 decisions" in done.output
    assert "decided otherwise: u0" in done.output


def test_dry_run_writes_nothing(tmp_path):
    done = raconteur("route", "calibrate", *settings(tmp_path / "none"), "--dry-run")
    assert done.exit_code == 0
    assert '"route"' in done.output
    assert not (tmp_path / "none").exists()
