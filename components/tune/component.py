"""Step 7: tunes the Reasoner on the trained Verbalizer's own text."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def tune(
    config: str,
    checkpoints: str,
    data: Input[Dataset],
    reasoner: Input[Model],
    verbalizer: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Tunes the Reasoner on the text that it will read in service.

    Args:
        config: the resolved config as JSON; `reasoner` is the step's own section.
        checkpoints: folder of resumable state that survives a killed run.
        data: the prepared data set.
        reasoner: the Reasoner of the step before.
        verbalizer: the trained Verbalizer.
        out: the tuned Reasoner.
        metrics: losses and validation figures.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.tune import tune_reasoner

    settings = Config.model_validate_json(config)
    parts = (Path(data.path), Path(reasoner.path), Path(verbalizer.path))
    log_metrics(metrics, tune_reasoner(settings, *parts, Path(out.path), Path(checkpoints)))
