"""Step 11: builds the student for ONNX Runtime, the smallest way that keeps its answers."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def quantise(
    config: str,
    data: Input[Dataset],
    student: Input[Model],
    verbalizer: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Writes the student as `model.onnx`: the first of `config.student.builds` that the gate lets through.

    Args:
        config: the resolved config as JSON.
        data: the prepared data set, for the comparison.
        student: the distilled student (torch).
        verbalizer: the Verbalizer whose text the student reads.
        out: the student as it is served (ONNX).
        metrics: size, agreement and NDCG of each build.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.quantise import quantise as step

    settings = Config.model_validate_json(config)
    parts = (Path(data.path), Path(student.path), Path(verbalizer.path))
    log_metrics(metrics, step(settings, *parts, Path(out.path)))
