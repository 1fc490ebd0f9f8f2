"""The smoke run, as small as it can be."""

import numpy as np

from raconteur.config.schema import Config
from raconteur.train.smoke import smoke


def test_smoke_trains_writes_and_scores_and_says_how_fast(tmp_path):
    config = Config.model_validate(
        {
            "text": {"max_events": 2, "history_tokens": 50},
            "llm": {"lora_rank": 2, "micro_batch": 2},
            "verbalizer": {"max_new_tokens": 2, "grpo": {"num_steps": 1, "prompts_per_step": 1, "group_size": 2}},
            "reasoner": {"tune_steps": 1, "tune_examples": 2, "batch_size": 2},
        }
    )
    figures = smoke(config, "tiny", tmp_path)
    peak_gib = figures.pop("peak_gib")  # of a GPU, where there is one
    assert np.isnan(peak_gib) or peak_gib > 0
    assert all(value > 0 for value in figures.values())
    assert figures["grpo_samples_per_step"] == 2
    assert (tmp_path / "tuned" / "adapter").is_dir()
