"""Step 12: asks all models the requests of held-out users."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def ask(
    config: str,
    data: Input[Dataset],
    retriever: Input[Model],
    reasoner: Input[Model],
    student: Input[Model],
    verbalizer: Input[Model],
    out: Output[Dataset],
    metrics: Output[Metrics],
):
    """Writes what student and Reasoner answer to the same requests, and the weights of retriever and model.

    Args:
        config: the resolved config as JSON.
        data: the prepared data set.
        retriever: what proposes the candidates that are served.
        reasoner: the tuned Reasoner.
        student: the student as it is served.
        verbalizer: the Verbalizer whose text both read.
        out: the requests with all scores, and what they cost.
        metrics: cost of each model.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.requests import write_requests as step

    settings = Config.model_validate_json(config)
    models = (Path(retriever.path), Path(reasoner.path), Path(student.path), Path(verbalizer.path))
    log_metrics(metrics, step(settings, Path(data.path), *models, Path(out.path)))
