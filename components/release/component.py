"""Step 15: assembles a version, holds it against the champion and promotes it if the gate opens."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def release(
    config: str,
    registry: str,
    cause: str,
    data: Input[Dataset],
    retriever: Input[Model],
    reasoner: Input[Model],
    verbalizer: Input[Model],
    student: Input[Model],
    requests: Input[Dataset],
    router: Input[Model],
    arms: Input[Dataset],
    metrics: Output[Metrics],
):
    """Writes a version folder into the registry, with its gate record, and moves the champion's pointer.

    Args:
        config: the whole resolved config as JSON; `monitor` holds the gate's thresholds.
        registry: folder of model versions.
        cause: why this run was started; kept in the gate record.
        data: the prepared data set.
        retriever: the fused retriever.
        reasoner: the tuned Reasoner.
        verbalizer: the trained Verbalizer.
        student: the INT8 student.
        requests: what the models answered; holds the weights of retriever and model.
        router: calibrated for this student and Reasoner.
        arms: the evaluation.
        metrics: the gate's figures; `promoted` is 1 or 0.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.release import release as step

    parts = {
        "retriever": Path(retriever.path),
        "reasoner": Path(reasoner.path),
        "verbalizer": Path(verbalizer.path),
        "student": Path(student.path),
        "requests": Path(requests.path),
        "router": Path(router.path),
        "arms": Path(arms.path),
    }
    settings = Config.model_validate_json(config)
    log_metrics(metrics, step(settings, Path(data.path), parts, Path(registry), cause=cause))
