"""The pipeline `train`: from a log to a promoted model version. Wiring only.

Each step is a component; `pipelines.run` starts the same wiring on this machine, compiles it or submits it. No
`from __future__ import annotations` here: KFP reads the annotations as types.
"""

from typing import NamedTuple

from kfp import dsl, kubernetes
from kfp.dsl import HTML, Dataset, Markdown, Metrics

from components.ask.component import ask
from components.calibrate.component import calibrate
from components.distil.component import distil
from components.evaluate.component import evaluate
from components.features.component import features
from components.fuse.component import fuse
from components.narrate.component import narrate
from components.prepare.component import prepare
from components.quantise.component import quantise
from components.reasoner.component import reasoner
from components.release.component import release
from components.retriever.component import retriever
from components.teach.component import teach
from components.tune.component import tune
from components.verbalizer.component import verbalizer
from pipelines.fingerprints import code_fingerprint

VOLUME = "raconteur-runs"  # the claim in manifests/base; feature store, checkpoints and registry live on it
MOUNT = "/runs"

# The order in which the steps stand in the report and in the progress line.
STEPS = (
    "prepare",
    "features",
    "retriever",
    "fuse",
    "reasoner",
    "verbalizer",
    "tune",
    "narrate",
    "teach",
    "distil",
    "quantise",
    "ask",
    "calibrate",
    "evaluate",
    "release",
)


class Trained(NamedTuple):
    """What a run hands out: the data set, the evaluation and every step's metrics."""

    data: Dataset
    arms: Dataset
    page: HTML
    table: Markdown
    prepare: Metrics
    features: Metrics
    retriever: Metrics
    fuse: Metrics
    reasoner: Metrics
    verbalizer: Metrics
    tune: Metrics
    narrate: Metrics
    teach: Metrics
    distil: Metrics
    quantise: Metrics
    ask: Metrics
    calibrate: Metrics
    evaluate: Metrics
    release: Metrics


@dsl.pipeline(name="train", description="Log in, gated model version out")
def train(
    config: str, gate: str, source: str, store: str, checkpoints: str, registry: str, cause: str = "asked for"
) -> Trained:
    """Trains, evaluates and releases.

    Args:
        config: the settings that training reads, as JSON (no `serve`, no `monitor`: their change trains nothing anew).
        gate: the whole resolved config as JSON, for the release.
        source: fingerprint of the source log.
        store: folder of the feature store.
        checkpoints: folder of resumable training state.
        registry: folder of model versions.
        cause: why the run was started.
    """
    s1 = prepare(config=config, source=source)
    data = s1.outputs["out"]
    s2 = features(config=config, data=data, store=store)
    s3 = retriever(config=config, checkpoints=checkpoints, data=data)
    sequential = s3.outputs["out"]
    s4 = fuse(config=config, data=data, sequential=sequential)
    s5 = reasoner(config=config, checkpoints=checkpoints, data=data, retriever=sequential)
    frozen = s5.outputs["out"]
    s6 = verbalizer(config=config, checkpoints=checkpoints, data=data, reasoner=frozen)
    words = s6.outputs["out"]
    s7 = tune(config=config, checkpoints=checkpoints, data=data, reasoner=frozen, verbalizer=words)
    tuned = s7.outputs["out"]
    s8 = narrate(config=config, data=data, verbalizer=words, store=store).after(s2)
    s9 = teach(config=config, data=data, retriever=sequential, reasoner=tuned)
    s10 = distil(config=config, checkpoints=checkpoints, lessons=s9.outputs["out"], reasoner=tuned)
    s11 = quantise(config=config, data=data, student=s10.outputs["out"], verbalizer=words)
    student = s11.outputs["out"]
    served = {"retriever": s4.outputs["out"], "reasoner": tuned, "student": student, "verbalizer": words}
    s12 = ask(config=config, data=data, **served)
    s13 = calibrate(config=config, requests=s12.outputs["out"])
    s14 = evaluate(
        config=config,
        data=data,
        retriever=sequential,
        frozen=frozen,
        tuned=tuned,
        verbalizer=words,
        student=student,
        requests=s12.outputs["out"],
        router=s13.outputs["out"],
    )
    s15 = release(
        config=gate,
        registry=registry,
        cause=cause,
        data=data,
        requests=s12.outputs["out"],
        router=s13.outputs["out"],
        arms=s14.outputs["out"],
        **served,
    ).after(s8)

    # A gate decision is about the champion of the moment: never served from the cache.
    s15.set_caching_options(enable_caching=False)
    steps = (s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)
    for step in steps:
        # kfp ships and hashes a component's own source only; the code that it calls enters the cache key here.
        step.set_env_variable("RACONTEUR_CODE", code_fingerprint())
        kubernetes.mount_pvc(step, pvc_name=VOLUME, mount_path=MOUNT)
    figures = {name: step.outputs["metrics"] for name, step in zip(STEPS, steps, strict=True)}
    return Trained(data=data, arms=s14.outputs["out"], page=s14.outputs["page"], table=s14.outputs["table"], **figures)
