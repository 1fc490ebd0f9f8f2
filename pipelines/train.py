"""The pipeline `train`: from a log to a promoted model version. Wiring only.

Each step is a component; `pipelines.run` starts the same wiring on this machine, compiles it or submits it. No
`from __future__ import annotations` here: KFP reads the annotations as types.
"""

from typing import NamedTuple

from kfp import dsl, kubernetes
from kfp.dsl import HTML, Dataset, Markdown, Metrics

from components.distil.component import distil
from components.evaluate.component import evaluate
from components.features.component import features
from components.narrate.component import narrate
from components.prepare.component import prepare
from components.quantise.component import quantise
from components.reasoner.component import reasoner
from components.release.component import release
from components.retriever.component import retriever
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
    "reasoner",
    "verbalizer",
    "tune",
    "narrate",
    "distil",
    "quantise",
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
    reasoner: Metrics
    verbalizer: Metrics
    tune: Metrics
    narrate: Metrics
    distil: Metrics
    quantise: Metrics
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
    s4 = reasoner(config=config, checkpoints=checkpoints, data=data, retriever=s3.outputs["out"])
    s5 = verbalizer(config=config, checkpoints=checkpoints, data=data, reasoner=s4.outputs["out"])
    words = s5.outputs["out"]
    s6 = tune(config=config, checkpoints=checkpoints, data=data, reasoner=s4.outputs["out"], verbalizer=words)
    tuned = s6.outputs["out"]
    s7 = narrate(config=config, data=data, verbalizer=words, store=store).after(s2)
    s8 = distil(config=config, checkpoints=checkpoints, data=data, reasoner=tuned)
    s9 = quantise(config=config, data=data, student=s8.outputs["out"], verbalizer=words)
    s10 = evaluate(
        config=config,
        data=data,
        retriever=s3.outputs["out"],
        frozen=s4.outputs["out"],
        tuned=tuned,
        verbalizer=words,
        student=s9.outputs["out"],
    )
    s11 = release(
        config=gate,
        registry=registry,
        cause=cause,
        data=data,
        retriever=s3.outputs["out"],
        reasoner=tuned,
        verbalizer=words,
        student=s9.outputs["out"],
        arms=s10.outputs["out"],
    ).after(s7)

    # A gate decision is about the champion of the moment: never served from the cache.
    s11.set_caching_options(enable_caching=False)
    steps = (s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11)
    for step in steps:
        # kfp ships and hashes a component's own source only; the code that it calls enters the cache key here.
        step.set_env_variable("RACONTEUR_CODE", code_fingerprint())
        kubernetes.mount_pvc(step, pvc_name=VOLUME, mount_path=MOUNT)
    figures = {name: step.outputs["metrics"] for name, step in zip(STEPS, steps, strict=True)}
    return Trained(data=data, arms=s10.outputs["out"], page=s10.outputs["page"], table=s10.outputs["table"], **figures)
