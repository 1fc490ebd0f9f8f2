"""Step 10: distils the tuned Reasoner into a small student."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def distil(
    config: str,
    checkpoints: str,
    lessons: Input[Dataset],
    reasoner: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Trains the student on the Reasoner's distributions over candidates.

    Args:
        config: the resolved config as JSON; `student` is the step's own section.
        checkpoints: folder of resumable state that survives a killed run.
        lessons: candidate lists with the teacher's scores.
        reasoner: the tuned Reasoner, the teacher, whose embeddings the student starts from.
        out: the student (torch).
        metrics: losses and agreement with the teacher.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.distil import distil as step

    settings = Config.model_validate_json(config)
    log_metrics(metrics, step(settings, Path(lessons.path), Path(reasoner.path), Path(out.path), Path(checkpoints)))
