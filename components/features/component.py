"""Step 2: point-in-time feature tables, the Feast registry, online rows and the training set."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def features(config: str, data: Input[Dataset], store: str, out: Output[Dataset], metrics: Output[Metrics]):
    """Builds the features of users and items and publishes them through Feast.

    Args:
        config: the resolved config as JSON.
        data: the prepared data set.
        store: folder of the feature store; created if it is not there.
        out: tables and the point-in-time training set.
        metrics: counts of rows, built and written online.
    """
    from pathlib import Path

    from components.features.publish import run_features
    from components.publish import log_metrics
    from raconteur.config.schema import Config

    log_metrics(metrics, run_features(Config.model_validate_json(config), Path(data.path), Path(store), Path(out.path)))
