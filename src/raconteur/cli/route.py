"""`raconteur route`: fit the router, draw quality against cost, and decide logged requests again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve

if TYPE_CHECKING:
    from raconteur.config.schema import Config
    from raconteur.policy.offpolicy import Values

app = typer.Typer(no_args_is_help=True, help="Calibrate the router, draw its curve, replay its decisions.")

Requests = Annotated[
    Path | None, typer.Option(help="Folder of requests; default: the champion's, or requests/ of the workdir.")
]
RouterFolder = Annotated[
    Path | None,
    typer.Option("--router", help="Folder of a router; see below for the default."),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write; default: below the workdir.")]
SHOWN = 5
NOTHING_REPLAYED = 3  # exit status; 2 is a wrong option


@app.command()
def calibrate(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    requests: Requests = None,
    out: Out = None,
) -> None:
    """Fit the router to the validation requests and write its folder, router/ of the workdir."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import print_figures, working
    from raconteur.train.calibrate import calibrate as run

    folder = out or resolved.workdir / "router"
    with working("calibrating"):
        figures = run(resolved, requests or _champions(resolved, "requests"), folder)
    print_figures(f"router {folder}", figures)


@app.command()
def curve(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    requests: Requests = None,
    router: RouterFolder = None,
    out: Out = None,
) -> None:
    """Draw quality against cost on the test requests: tables, and a plot as one HTML page.

    Without --router it is the one that `raconteur route calibrate` wrote into the workdir, or else the champion's.
    """
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import working
    from raconteur.evaluate.curve_page import HTML, MARKDOWN
    from raconteur.train.calibrate import draw

    folder = out or resolved.workdir / "curve"
    with working("drawing"):
        draw(resolved, requests or _champions(resolved, "requests"), router or _calibrated(resolved), folder)
    typer.echo((folder / MARKDOWN).read_text())
    typer.echo(f"plot: {folder / HTML}")


@app.command()
def replay(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    log: Annotated[Path | None, typer.Option(help="Prediction log; default: predictions/ of the workdir.")] = None,
    router: RouterFolder = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Also say what this threshold (expected gain in NDCG) would have cost and earned."),
    ] = None,
    taken: Annotated[
        Path | None,
        typer.Option(
            help="With --threshold: prepared data set that says what users took next, to value it by that; "
            "default: incoming/ of the workdir, if it is there."
        ),
    ] = None,
) -> None:
    """Decide every logged request again; exits with status 1 if a decision is another one, 3 if there is none.

    Without --router it is the champion's, which serves, or where there is none that of the workdir.
    """
    resolved = resolve(config, overrides)
    from raconteur.cli.show import print_figures
    from raconteur.policy.replay import read_hits, with_other_threshold
    from raconteur.policy.replay import replay as run
    from raconteur.policy.router import Router
    from raconteur.pseudonym import pseudonym_key

    loaded = Router.read(router or _champions(resolved, "router"))
    predictions = log or resolved.workdir / "predictions"
    replayed = run(predictions, loaded)
    different = replayed.different
    same = len(replayed.requests) - len(different)
    typer.echo(f"{same} of {len(replayed.requests)} decisions of router {loaded.version} are the same")
    for reason, count in replayed.skipped.items():
        if count:
            typer.echo(f"left out, {reason}: {count}")
    if not replayed.requests:
        typer.echo("nothing was decided again: the log holds no decision of this router", err=True)
        raise typer.Exit(NOTHING_REPLAYED)
    if threshold is not None:
        data = taken or resolved.workdir / "incoming"
        known = taken is not None or (data / "events.parquet").exists()
        rewards = read_hits(predictions, data, key=pseudonym_key(resolved.workdir)) if known else {}
        other = with_other_threshold(replayed, loaded, threshold, rewards=rewards, seed=resolved.seed)
        figures = {
            "asked": f"{other.asked_share:.1%} instead of {other.logged_share:.1%}",
            "cost of a request": f"{other.cost_ms:.4g} ms instead of {other.logged_cost_ms:.4g} ms",
            **_estimates("cost", other.estimate, " ms"),
        }
        if not isinstance(other.quality, str):
            figures["took one of the items shown next"] = f"{other.quality.logged:.4f} of {other.quality.num_requests}"
            figures |= _estimates("taken", other.quality.other, "")
        print_figures(f"threshold {threshold:g} instead of {loaded.threshold:.4g}", figures)
        if isinstance(other.quality, str):
            typer.echo(f"quality is not valued: {other.quality} (see --taken)")
    if different:
        typer.echo(f"decided otherwise: {', '.join(different[:SHOWN])}", err=True)
        raise typer.Exit(1)


def _champions(config: "Config", part: str) -> Path:
    """A folder of the champion's version; before there is one that of the workdir."""
    from raconteur.artifacts import Registry

    models = Registry(config.workdir / "models")
    return (models.champion_folder() if models.champion() else config.workdir) / part


def _calibrated(config: "Config") -> Path:
    own = config.workdir / "router"
    return own if own.exists() else _champions(config, "router")


def _estimates(name: str, values: "Values", unit: str) -> dict[str, str]:
    shown = {"IPS": values.ips, "self-normalised IPS": values.snips, "doubly robust": values.doubly_robust}
    estimates = {
        f"{name}, {how}": f"{end.value:.4g} [{end.low:.4g}, {end.high:.4g}]{unit}" for how, end in shown.items()
    }
    return {**estimates, f"{name}, requests that carry it": f"{values.num_effective:.0f}"}
