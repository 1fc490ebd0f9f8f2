"""Fits the router to a table of requests, and judges it: calibration, thresholds, promise, and the curve.

Calibrations are fitted on one half of the validation users; thresholds and the promise come from the other half, which
is told apart by a hash of the user. The curve is drawn on the test split, which nothing here is fitted to.
Axis letters: B requests, F signals.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import binom

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config, RouteConfig
from raconteur.errors import TrainingError
from raconteur.evaluate.curve import Curve, Line, draw_curve
from raconteur.evaluate.curve_page import write_page
from raconteur.evaluate.metrics import BoolArray
from raconteur.evaluate.routing import REASONER, STUDENT, Cost, Requests, read_requests
from raconteur.policy.calibration import (
    Calibration,
    calibration_error,
    first_is_right,
    fit_gain,
    fit_isotonic,
    fit_temperature,
)
from raconteur.policy.router import Limits, Router, Thresholds
from raconteur.policy.signals import MARGIN, PROBABILITY, signal_table
from raconteur.policy.thresholds import Certified, budget_threshold, conformal_threshold, floor_threshold, safe_order
from raconteur.types import FloatArray

MIN_REQUESTS = 50
NUM_RESPLITS = 20
TAIL = 3.0  # a p99 that nobody measured is taken as so many times the mean
MARGIN_RULE, ROUTER = "margin", "router"  # ways of choosing


@dataclass(frozen=True)
class Scored:
    """Requests as a calibration sees them."""

    requests: Requests
    gain_B: FloatArray  # expected
    probability_B: FloatArray  # that the student's first choice is right
    margin_B: FloatArray  # uncalibrated
    first_B: FloatArray  # the same chance before calibration


def calibrate(config: Config, requests: Path, out: Path) -> dict[str, float]:
    """Writes `router.json` into the folder `out`; returns what was measured on the held-out half.

    Where there are too few requests to fit and hold out, or the expected gain orders the held-out ones no better than
    chance, the router is written in mode "rules" (the margin decides) and says so.

    Raises:
        DataError, ArtifactError: the folder of requests is malformed (`evaluate.routing.read_requests`).
    """
    settings, table = config.route, read_requests(requests)
    rows = table.of(split="validation", lists=settings.lists)
    router = Router(
        mode="rules",
        min_margin=config.route.min_margin,
        limits=Limits(_p99(settings, table.costs[REASONER]), settings.max_load),
        versions={name: table.versions[name] for name in (STUDENT, REASONER)},
        costs_ms={name: table.costs[name].ms for name in (STUDENT, REASONER)},
    )
    figures: dict[str, float] = {}
    too_few = _too_few(rows, settings.lists)
    if too_few:
        router = replace(router, fallback=too_few)
    else:
        router, figures = _calibrated(config, router, table, rows)
    with new_folder(out, kind="router", config=config.model_dump(mode="json"), metrics=figures) as folder:
        router.write(folder)
    if router.fallback:
        print(f"the router falls back on the margin rule: {router.fallback}", flush=True)
    return {**figures, "fallback": float(bool(router.fallback))}


def _calibrated(config: Config, router: Router, table: Requests, rows: Requests) -> tuple[Router, dict[str, float]]:
    """The router with what is fitted on one half of the users and certified on the other; and what that measured."""
    settings = config.route
    held_out = _held_out(rows)
    fitting, holding = rows.take(~held_out), rows.take(held_out)
    calibration = fit(fitting)
    scored = look(calibration, holding)
    certified = certify(settings, look(calibration, fitting), scored)
    thresholds = Thresholds(
        budget=budget_threshold(scored.gain_B, share=budget_share(settings, table.costs)),
        # The floor's own threshold was tested by nobody: the promise is that of the certified ones.
        floor=certified.at_most(floor_threshold(scored.gain_B, holding.gain(), keep=settings.keep_gain)),
        conformal=certified.threshold,
    )
    line = _curve(config, scored).line(ROUTER)
    fallback = _refusal(settings, line)
    figures = {
        "num_fitted": float(len(fitting)),
        "num_held_out": float(len(holding)),
        "temperature": calibration.temperature,
        **_errors(scored),
        **_line_figures(line),
        "budget_share": float((scored.gain_B >= thresholds.budget).mean()),
        "conformal_share": certified.num_student / len(holding),
        "conformal_harmed": certified.num_harmed / max(certified.num_student, 1),
        **resplit(settings, rows, seed=config.seed),
    }
    fitted = replace(
        router,
        mode="rules" if fallback else settings.mode,
        # No margin is below 0: hard rules alone ask a Reasoner that gains nothing.
        min_margin=0.0 if line.apgr is None else router.min_margin,
        thresholds=thresholds,
        calibration=calibration,
        explore=settings.explore,
        fallback=fallback,
    )
    return fitted, figures


def draw(config: Config, requests: Path, router: Path, out: Path) -> dict[str, float]:
    """Writes the curve of the test split into the folder `out`: see `evaluate.curve_page`.

    Raises:
        TrainingError: there are too few requests, or the router holds no calibration.
        DataError, ArtifactError: a folder is malformed, or the router is for other models than the requests.
    """
    settings, table = config.route, read_requests(requests)
    versions = table.versions
    loaded = Router.load(router, student_version=versions[STUDENT], reasoner_version=versions[REASONER])
    rows = table.of(split="test", lists=settings.lists)
    too_few = _too_few(rows, settings.lists)
    if too_few:
        raise TrainingError(f"{requests} has {too_few}")
    if loaded.calibration is None:
        raise TrainingError(f"{router} holds no calibration to draw{f': {loaded.fallback}' if loaded.fallback else ''}")
    scored = look(loaded.calibration, rows)
    points = {f"{ROUTER}: {name}": scored.gain_B >= threshold for name, threshold in asdict(loaded.thresholds).items()}
    curve = _curve(config, scored, points)
    figures = {
        **_errors(scored),
        **_line_figures(curve.line(ROUTER)),
        **{f"{MARGIN_RULE}_{name}": value for name, value in _line_figures(curve.line(MARGIN_RULE)).items()},
        "conformal_broken": _harm_share(settings, scored, loaded.thresholds.conformal),
    }
    title = f"Routing: quality against cost, {settings.lists} lists"
    about = {"kind": "curve", "versions": versions, "config": config.model_dump(mode="json")}
    with new_folder(out, **about) as folder:
        write_page(curve, folder, title=title, figures=figures)
    return figures


def fit(requests: Requests) -> Calibration:
    """Temperature, chance of the first choice, and expected gain, from the same requests."""
    temperature = fit_temperature(requests.student_BN, requests.truth_B)
    signals_BF = _signals(requests, temperature)
    right_B = requests.recall(requests.student_BN)
    return Calibration(
        temperature,
        first=fit_isotonic(signals_BF[:, PROBABILITY], right_B),
        gain=fit_gain(signals_BF, requests.gain()),
    )


def look(calibration: Calibration, requests: Requests) -> Scored:
    """What a calibration says of requests."""
    signals_BF, before_BF = _signals(requests, calibration.temperature), _signals(requests, 1.0)
    return Scored(
        requests,
        gain_B=calibration.gain.at(signals_BF),
        probability_B=first_is_right(calibration, signals_BF),
        margin_B=before_BF[:, MARGIN],
        first_B=before_BF[:, PROBABILITY],
    )


def certify(settings: RouteConfig, fitted: Scored, held_out: Scored) -> Certified:
    """The promise: one request a user, thresholds in the order that the fitting half gives."""
    _, first = np.unique(held_out.requests.user_ids_B, return_index=True)
    order_T = safe_order(fitted.gain_B, num_held_out=len(first), alpha=settings.alpha, delta=settings.delta)
    harmed_B = held_out.requests.gain() > settings.regret
    return conformal_threshold(
        held_out.gain_B[first], harmed_B[first], order_T, alpha=settings.alpha, delta=settings.delta
    )


def resplit(settings: RouteConfig, rows: Requests, *, seed: int) -> dict[str, float]:
    """How often the promise is broken, over random thirds of the users: fit, certify, check.

    `broken_rate` counts a check whose own share of harmed requests is above alpha; a share of few requests varies, so
    this exceeds delta even where every promise holds. `broken_surely_rate` counts those whose one-sided 95 % bound
    lies above alpha.
    """
    rng = np.random.default_rng(seed)
    users, user_B = np.unique(rows.user_ids_B, return_inverse=True)
    broken, surely, shares = [], [], []
    for _ in range(NUM_RESPLITS):
        third_B = (rng.permutation(len(users)) % 3)[user_B]
        parts = [rows.take(third_B == number) for number in range(3)]
        calibration = fit(parts[0])
        scored = [look(calibration, part) for part in parts]
        certified = certify(settings, scored[0], scored[1])
        kept_B = scored[2].gain_B < certified.threshold
        num_harmed = int((parts[2].gain() > settings.regret)[kept_B].sum())
        shares.append(kept_B.mean())
        broken.append(num_harmed > settings.alpha * kept_B.sum())
        surely.append(_is_surely_above(num_harmed, int(kept_B.sum()), settings.alpha))
    return {
        "broken_rate": float(np.mean(broken)),
        "broken_surely_rate": float(np.mean(surely)),
        "resplit_share": float(np.mean(shares)),
    }


def budget_share(settings: RouteConfig, costs: Mapping[str, Cost]) -> float:
    """The share of requests whose gain may ask the Reasoner: with those that explore the budget is kept."""
    if settings.budget_ms is None:
        share = settings.budget_share
    else:
        share = (settings.budget_ms - costs[STUDENT].ms) / costs[REASONER].ms
    turned = settings.explore  # of the others as well as of these
    return float(np.clip((share - turned) / (1.0 - 2.0 * turned), 0.0, 1.0)) if turned < 0.5 else 0.0


def _too_few(rows: Requests, lists: str) -> str:
    """What is missing to fit and hold out; empty where there is enough."""
    num_users = len(np.unique(rows.user_ids_B))
    if min(len(rows), num_users) >= MIN_REQUESTS:
        return ""
    return (
        f"{len(rows)} requests of {num_users} users with {lists} lists in this split; "
        f"{MIN_REQUESTS} of each are needed (route.lists chooses the lists)"
    )


def _held_out(requests: Requests) -> BoolArray:
    """True [B] for about half of the users, the same ones each time."""
    digests = (hashlib.blake2b(user.encode(), digest_size=1, person=b"half").digest() for user in requests.user_ids_B)
    return np.array([digest[0] % 2 == 1 for digest in digests])


def _signals(requests: Requests, temperature: float) -> FloatArray:
    return signal_table(
        requests.student_BN,
        num_candidates_B=requests.num_candidates_B,
        num_events_B=requests.num_events_B,
        num_cold_B=requests.num_cold_B,
        temperature=temperature,
    )


def _curve(config: Config, scored: Scored, chosen: Mapping[str, BoolArray] | None = None) -> Curve:
    return draw_curve(
        scored.requests,
        {MARGIN_RULE: -scored.margin_B, ROUTER: scored.gain_B},
        chosen=chosen,
        tolerance=config.route.tolerance,
        num_resamples=config.evaluate.num_bootstrap,
        seed=config.seed,
    )


def _refusal(settings: RouteConfig, line: Line) -> str:
    """Why the calibration is not used; empty where it is. The promise stands whatever the gain is worth."""
    if settings.mode == "rules":
        return "route.mode = rules"
    if settings.mode == "quality":
        return ""
    if line.apgr is None:
        return "the Reasoner ranks the held-out requests no better than the student"
    if line.apgr.value <= 0.5:
        return f"its APGR on the held-out requests is {line.apgr.value:.3f}, no better than random routing"
    return ""


def _errors(scored: Scored) -> dict[str, float]:
    right_B = scored.requests.recall(scored.requests.student_BN)
    return {
        "ece_before": calibration_error(scored.first_B, right_B),
        "ece_after": calibration_error(scored.probability_B, right_B),
    }


def _line_figures(line: Line) -> dict[str, float]:
    """Figures of a way of choosing; without a gain of the Reasoner there is no APGR and no CPT."""
    figures = {"saving": line.saving.value, "strict_saving": line.strict_saving.value}
    if line.apgr is not None and line.cpt is not None:
        figures |= {"apgr": line.apgr.value, **{f"cpt_{percent}": end.value for percent, end in line.cpt.items()}}
    return figures


def _harm_share(settings: RouteConfig, scored: Scored, threshold: float) -> float:
    """Share of the student's requests that the Reasoner would have ranked better; 0 where it keeps none."""
    kept_B = scored.gain_B < threshold
    return float((scored.requests.gain() > settings.regret)[kept_B].mean()) if kept_B.any() else 0.0


def _is_surely_above(num_harmed: int, num_kept: int, alpha: float) -> bool:
    return num_kept > 0 and float(binom.sf(num_harmed - 1, num_kept, alpha)) < 0.05


def _p99(settings: RouteConfig, cost: Cost) -> float:
    return settings.reasoner_p99_ms or cost.p99_ms or TAIL * cost.ms
