"""Step 1: reads the source log, checks every row and writes the prepared data set."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def prepare(config: str, source: str, out: Output[Dataset], metrics: Output[Metrics]):
    """Reads, checks and splits a log.

    Args:
        config: the resolved config as JSON; `data` and `world` name the source.
        source: fingerprint of the source; it is not read, it makes a changed source miss the cache.
        out: the data set (events, items, split, candidates, quarantine).
        metrics: counts.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.data import prepare as step
    from raconteur.retrieve.ease import Ease

    log_metrics(metrics, step.prepare(Config.model_validate_json(config), Path(out.path), fit_retriever=Ease.fit))
