"""Step 8: writes the narrative of every user with the trained Verbalizer and publishes it through Feast."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def narrate(
    config: str,
    data: Input[Dataset],
    verbalizer: Input[Model],
    store: str,
    out: Output[Dataset],
    metrics: Output[Metrics],
):
    """Narrates all users and writes the texts to the feature store, offline and online.

    Args:
        config: the resolved config as JSON.
        data: the prepared data set.
        verbalizer: the trained Verbalizer.
        store: folder of the feature store that the features step made.
        out: `narratives.parquet`.
        metrics: counts and lengths of the texts.
    """
    from pathlib import Path

    from components.features.publish import publish_narratives
    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.represent import narrate as step

    folder = Path(out.path)
    measured = step.narrate(Config.model_validate_json(config), Path(data.path), Path(verbalizer.path), folder)
    log_metrics(metrics, {**measured, **publish_narratives(folder, Path(store))})
