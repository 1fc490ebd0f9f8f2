"""The command line: parse first, import after.

Only Typer is loaded to answer `--help`; each command imports what it needs when it runs. What belongs to the edges
(Feast, Kubeflow, KServe, Ray, Evidently) is started as a program of its own, see `edges`.
"""

import os
from typing import Annotated

import typer

from raconteur.cli import (
    ablate,
    bench,
    data,
    demo,
    doctor,
    evaluate,
    export,
    features,
    keys,
    llm,
    monitor,
    pipeline,
    ranking,
    recommend,
    route,
    serve,
    students,
    train,
)
from raconteur.cli.failures import DEBUG, run_program

app = typer.Typer(
    name="raconteur",
    help="Turns interaction logs into language for recommender LLMs, and runs the life of such a recommender.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a known error too.")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")
app.command("train")(train.train)
app.add_typer(llm.app, name="llm")
app.command("evaluate")(evaluate.evaluate)
app.command("ablate")(ablate.ablate)
app.command("ranking")(ranking.ranking)
app.command("students")(students.students)
app.add_typer(pipeline.app, name="pipeline")
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.command("recommend")(recommend.recommend)
app.add_typer(monitor.app, name="monitor")
app.add_typer(route.app, name="route")
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.command("quantise")(export.quantise)
app.command("export")(export.export)
app.command("demo")(demo.demo)


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
