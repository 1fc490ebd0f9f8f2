"""Step 5: trains the Reasoner on texts of every style, started from the retriever."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def reasoner(
    config: str,
    checkpoints: str,
    data: Input[Dataset],
    retriever: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Trains the Reasoner to choose among candidates, tuned to no one's style of text.

    Args:
        config: the resolved config as JSON; `reasoner` and `text` are the step's own sections.
        checkpoints: folder of resumable state that survives a killed run.
        data: the prepared data set.
        retriever: the sequential retriever, whose body and item embeddings are the start.
        out: the Reasoner.
        metrics: losses and validation figures.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.reasoner import train_reasoner

    settings = Config.model_validate_json(config)
    measured = train_reasoner(settings, Path(data.path), Path(retriever.path), Path(out.path), Path(checkpoints))
    log_metrics(metrics, measured)
