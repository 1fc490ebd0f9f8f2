"""An ablation over a very small world, written as its files."""

import pytest

from raconteur.config.ablation import load_ablation

DATA = """
name = "tiny"
[data]
min_value = 10
[world]
num_users = 60
num_items = 50
num_days = 30
[evaluate]
num_bootstrap = 20
[text]
vocab_size = 300
max_events = 12
[sequential]
num_layers = 1
width = 16
num_heads = 2
num_steps = 3
[reasoner]
num_steps = 3
batch_size = 8
tune_steps = 2
tune_examples = 20
[verbalizer]
num_layers = 1
num_heads = 2
sft_steps = 4
sft_batch_size = 4
best_steps = 2
max_new_tokens = 12
[verbalizer.grpo]
num_steps = 1
prompts_per_step = 2
group_size = 2
[verbalizer.action]
start_steps = 2
num_steps = 2
prompts_per_step = 2
group_size = 2
"""


@pytest.fixture
def write_ablation(tmp_path):
    """Writes the data set's config and an ablation of it; returns the ablation's path."""

    def write(more: str = "", name: str = "ablation.toml"):
        (tmp_path / "tiny.toml").write_text(DATA)
        path = tmp_path / name
        head = f'[ablation]\nname = "tiny"\nworkdir = "{tmp_path / "runs"}"\n'
        path.write_text(head + ("" if "data = " in more else 'data = ["tiny.toml"]\n') + more)
        return path

    return write


@pytest.fixture
def ablation(write_ablation):
    """Loads an ablation with further settings, and overrides of the data set's config."""
    return lambda more="", *overrides: load_ablation(write_ablation(more), overrides)
