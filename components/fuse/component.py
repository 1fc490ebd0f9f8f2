"""Step 4: fuses the sequential retriever with others."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def fuse(
    config: str,
    data: Input[Dataset],
    sequential: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Fits the other retrievers and learns on validation users how much each of them counts.

    Args:
        config: the resolved config as JSON; `retrieve` is the step's own section.
        data: the prepared data set.
        sequential: the sequential retriever.
        out: the fused retriever.
        metrics: recall, hits and NDCG on held-out validation users, and the weights.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.retrieval import train_retrieval as step

    settings = Config.model_validate_json(config)
    log_metrics(metrics, step(settings, Path(data.path), Path(sequential.path), Path(out.path)))
