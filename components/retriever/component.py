"""Step 3: trains the sequential retriever."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def retriever(config: str, checkpoints: str, data: Input[Dataset], out: Output[Model], metrics: Output[Metrics]):
    """Trains the causal transformer over item tokens.

    Args:
        config: the resolved config as JSON; `sequential` is the step's own section.
        checkpoints: folder of resumable state that survives a killed run.
        data: the prepared data set.
        out: the retriever.
        metrics: losses and validation figures.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.sequential import train_sequential

    settings = Config.model_validate_json(config)
    log_metrics(metrics, train_sequential(settings, Path(data.path), Path(out.path), Path(checkpoints)))
