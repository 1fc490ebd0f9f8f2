"""A real two-step pipeline in the shape of ours, small enough to run in a test: `count` writes, `judge` may fail."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

STEPS = ("count", "judge")


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def count(source: str, runs: str, out: Output[Dataset], metrics: Output[Metrics]):
    from pathlib import Path

    from components.publish import log_metrics

    with Path(runs).open("a") as file:
        file.write("count\n")
    Path(out.path).mkdir(parents=True)
    (Path(out.path) / "words.txt").write_text(source)
    log_metrics(metrics, {"letters": len(source), "undefined": float("nan")})


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def judge(data: Input[Dataset], runs: str, broken: str, metrics: Output[Metrics]):
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.errors import TrainingError

    with Path(runs).open("a") as file:
        file.write("judge\n")
    print("judging with care", flush=True)
    if Path(broken).exists():
        raise TrainingError("the loss is nan at step 3; lower the learning rate")
    log_metrics(metrics, {"promoted": 1.0})


class Made(NamedTuple):
    data: Dataset
    count: Metrics
    judge: Metrics


@dsl.pipeline(name="tiny")
def tiny(source: str, runs: str, broken: str) -> Made:
    counted = count(source=source, runs=runs)
    judged = judge(data=counted.outputs["out"], runs=runs, broken=broken)
    return Made(data=counted.outputs["out"], count=counted.outputs["metrics"], judge=judged.outputs["metrics"])


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def sleep(pid: str):
    import os
    import time
    from pathlib import Path

    Path(pid).write_text(str(os.getpid()))
    time.sleep(300)


@dsl.pipeline(name="sleepy")
def sleepy(pid: str):
    sleep(pid=pid)
