"""Step 13: calibrates the router between student and Reasoner."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def calibrate(
    config: str,
    requests: Input[Dataset],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Fits confidence and expected gain on validation requests, and finds the thresholds on others of them.

    Args:
        config: the resolved config as JSON; `route` is the step's own section.
        requests: what the models answered.
        out: the router.
        metrics: calibration errors, what routing saves, and whether the conformal promise holds on resplits.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.calibrate import calibrate as step

    settings = Config.model_validate_json(config)
    log_metrics(metrics, step(settings, Path(requests.path), Path(out.path)))
