"""Step 6: trains the Verbalizer, first supervised, then by GRPO against the Reasoner."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="raconteur/pipelines:0.1.0", install_kfp_package=False)
def verbalizer(
    config: str,
    checkpoints: str,
    data: Input[Dataset],
    reasoner: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
):
    """Trains the policy that rewrites a raw history into a short text.

    Args:
        config: the resolved config as JSON; `verbalizer` and `text` are the step's own sections.
        checkpoints: folder of resumable state that survives a killed run.
        data: the prepared data set.
        reasoner: the Reasoner that gives the reward.
        out: the Verbalizer.
        metrics: losses, rewards and lengths.
    """
    from pathlib import Path

    from components.publish import log_metrics
    from raconteur.config.schema import Config
    from raconteur.train.verbalizer import train_verbalizer

    settings = Config.model_validate_json(config)
    measured = train_verbalizer(settings, Path(data.path), Path(reasoner.path), Path(out.path), Path(checkpoints))
    log_metrics(metrics, measured)
