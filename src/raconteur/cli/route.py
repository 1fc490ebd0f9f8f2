"""`raconteur route`: fit the router, draw quality against cost, and decide logged requests again."""

from pathlib import Path
from typing import Annotated

import typer

from raconteur.cli.settings import ConfigFiles, DryRun, Overrides, resolve

app = typer.Typer(no_args_is_help=True, help="Calibrate the router, draw its curve, replay its decisions.")

Requests = Annotated[Path | None, typer.Option(help="Folder of requests; default: requests/ of the workdir.")]
RouterFolder = Annotated[Path | None, typer.Option("--router", help="Folder of a router; default: of the workdir.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write; default: below the workdir.")]
SHOWN = 5


@app.command()
def calibrate(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    requests: Requests = None,
    out: Out = None,
) -> None:
    """Fit the router to the validation requests and write its folder."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import print_figures, working
    from raconteur.train.calibrate import calibrate as run

    folder = out or resolved.workdir / "router"
    with working("calibrating"):
        figures = run(resolved, requests or resolved.workdir / "requests", folder)
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
    """Draw quality against cost on the test requests: tables, and a plot as one HTML page."""
    resolved = resolve(config, overrides, dry_run=dry_run)
    from raconteur.cli.show import working
    from raconteur.evaluate.curve_page import HTML, MARKDOWN
    from raconteur.train.calibrate import draw

    folder = out or resolved.workdir / "curve"
    with working("drawing"):
        draw(resolved, requests or resolved.workdir / "requests", router or resolved.workdir / "router", folder)
    typer.echo((folder / MARKDOWN).read_text())
    typer.echo(f"plot: {folder / HTML}")


@app.command()
def replay(
    config: ConfigFiles = None,
    overrides: Overrides = None,
    log: Annotated[Path | None, typer.Option(help="Prediction log; default: predictions/ of the workdir.")] = None,
    router: RouterFolder = None,
    threshold: Annotated[
        float | None, typer.Option(help="Also say what this threshold would have cost (expected gain in NDCG).")
    ] = None,
) -> None:
    """Decide every logged request again; exits with status 1 if a decision is another one."""
    resolved = resolve(config, overrides)
    from raconteur.cli.show import print_figures
    from raconteur.policy.replay import replay as run
    from raconteur.policy.replay import with_other_threshold
    from raconteur.policy.router import Router

    loaded = Router.read(router or resolved.workdir / "router")
    replayed = run(log or resolved.workdir / "predictions", loaded)
    different = replayed.different
    same = len(replayed.requests) - len(different)
    typer.echo(f"{same} of {len(replayed.requests)} decisions of router {loaded.version} are the same")
    for reason, count in replayed.skipped.items():
        if count:
            typer.echo(f"left out, {reason}: {count}")
    if threshold is not None:
        other = with_other_threshold(replayed, loaded, threshold, seed=resolved.seed)
        estimates = {
            name: f"{end.value:.4g} [{end.low:.4g}, {end.high:.4g}] ms"
            for name, end in (
                ("IPS", other.estimate.ips),
                ("self-normalised IPS", other.estimate.snips),
                ("doubly robust", other.estimate.doubly_robust),
            )
        }
        figures = {
            "asked": f"{other.asked_share:.1%} instead of {other.logged_share:.1%}",
            "cost of a request": f"{other.cost_ms:.4g} ms instead of {other.logged_cost_ms:.4g} ms",
            **estimates,
            "requests that carry the estimate": f"{other.estimate.num_effective:.0f}",
        }
        print_figures(f"threshold {threshold:g} instead of {loaded.threshold:.4g}", figures)
    if different:
        typer.echo(f"decided otherwise: {', '.join(different[:SHOWN])}", err=True)
        raise typer.Exit(1)
