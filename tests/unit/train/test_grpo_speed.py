"""A GRPO step is timed on hardly trained models of the sizes that the config says."""

import json

from raconteur.config.schema import Config
from raconteur.train.grpo_speed import time_grpo_step


def test_step_is_of_the_size_asked_for(small, tmp_path):
    config = Config.model_validate(
        {
            **small.model_dump(),
            "sequential": {"num_layers": 1, "width": 16, "num_heads": 2},
            "verbalizer": {
                "num_layers": 1,
                "num_heads": 2,
                "max_new_tokens": 6,
                "grpo": {"prompts_per_step": 2, "group_size": 3},
            },
        }
    )
    step = time_grpo_step(config, tmp_path, num_steps=2)
    assert len(json.loads((tmp_path / "timed" / "curves.json").read_text())["reward"]) == 1 + 2
    assert step.num_samples == 6
    assert 1 <= step.num_tokens <= 6
    # Tied embeddings of 60 items and at most 300 pieces and tokens of control, 16 wide, and one layer.
    assert 60 * 16 < step.num_parameters < 400 * 16 + 10_000
