"""Step 9: writes the lessons that students learn from."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def teach(
    config: str,
    data: Input[Dataset],
    retriever: Input[Model],
    reasoner: Input[Model],
    out: Output[Dataset],
    metrics: Output[Metrics],
):
    """Draws candidate lists for the texts of stage 2 and has the tuned Reasoner score them.

    Args:
        config: the resolved config as JSON.
        data: the prepared data set.
        retriever: what proposes the candidates that are served.
        reasoner: the tuned Reasoner, the teacher; its folder holds the texts that it was tuned on.
        out: the lessons.
        metrics: how many there are, and how often the teacher is right.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.lessons import write_lessons as step

    settings = Config.model_validate_json(config)
    log_metrics(metrics, step(settings, Path(data.path), Path(retriever.path), Path(reasoner.path), Path(out.path)))
