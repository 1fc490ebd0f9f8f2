"""Reading a shared prompt once gives what TRL's own trainer gives: samples, log-probabilities, entropies, gradients."""

import pytest
import torch
from datasets import Dataset
from transformers import Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from raconteur.represent.tokenizer import for_transformers, train_tokenizer
from raconteur.retrieve.sequential import body_config
from raconteur.train.shared_prompts import SharedPromptTrainer

SAMPLE = 5  # tokens of the longest sample
# Prompts of different lengths, none of whose samples stand together; the last is the cue to write and nothing else.
PROMPTS = [[7, 8, 9, 10, 3], [11, 12, 3], [7, 8, 9, 10, 3], [3], [11, 12, 3], [3]]


@pytest.fixture
def trainers(tmp_path):
    """TRL's trainer and ours, with models of the same weights."""
    tokenizer = for_transformers(train_tokenizer(["0d 1d play"] * 9, [], 280))
    settings = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": [], "num_generations": 2}
    settings |= {"max_completion_length": SAMPLE, "per_device_train_batch_size": 2, "gradient_checkpointing": False}

    def trainer(kind):
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(body_config(len(tokenizer), num_layers=2, width=16, num_heads=2))
        model.set_attn_implementation("sdpa")
        return kind(
            model=model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(**settings),
            train_dataset=Dataset.from_dict({"prompt": ["0d"]}),
            processing_class=tokenizer,
        )

    return trainer(GRPOTrainer), trainer(SharedPromptTrainer)


def padded(prompts, samples, pad):
    """Ids and mask: prompts padded on the left, samples on the right."""
    width = max(map(len, prompts))
    rows = [
        [pad] * (width - len(prompt)) + prompt + sample + [pad] * (SAMPLE - len(sample))
        for prompt, sample in zip(prompts, samples, strict=True)
    ]
    mask = [
        [0] * (width - len(prompt)) + [1] * (len(prompt) + len(sample)) + [0] * (SAMPLE - len(sample))
        for prompt, sample in zip(prompts, samples, strict=True)
    ]
    return torch.tensor(rows), torch.tensor(mask)


@pytest.mark.parametrize("prompts", [PROMPTS, [[3]] * 6, [[7, 8, 3]] * 6], ids=["different", "cue alone", "one prompt"])
def test_shared_prompts_log_probabilities_entropies_and_gradients_are_those_of_trl(trainers, prompts):
    samples = [[20, 21], [22, 23, 24, 25, 26], [27], [28, 29], [30, 31, 32], [33, 34, 35, 36]]
    ids, mask = padded(prompts, samples, trainers[0].processing_class.pad_token_id)
    real = mask[:, -SAMPLE:] == 1
    found = []
    for trainer in trainers:
        logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, SAMPLE, compute_entropy=True
        )
        logps[real].sum().backward()
        gradients = torch.cat([value.grad.flatten() for value in trainer.model.parameters()])
        found.append((logps[real], entropies[real], gradients))
    for theirs, ours in zip(*found, strict=True):
        assert theirs.abs().sum() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prompts", [PROMPTS, [[3]] * 6], ids=["different", "cue alone"])
def test_shared_prompts_samples_are_those_of_trl(trainers, prompts):
    written = []
    for trainer in trainers:
        torch.manual_seed(5)
        samples, _ = trainer._generate_single_turn(prompts, None, {}, 2)
        written.append(samples)
    assert written[0] == written[1]
    assert len(set(map(tuple, written[1]))) > 1


def test_shared_prompts_sample_ends_at_its_first_end_token(trainers):
    trainer = trainers[1]
    end = trainer.processing_class.eos_token_id
    with torch.no_grad():  # the end token is written wherever anything is
        trainer.model.get_output_embeddings().weight.zero_()
        trainer.model.model.norm.weight.zero_()
        trainer.generation_config.suppress_tokens = [token for token in range(280) if token != end]
    samples, _ = trainer._generate_single_turn([[7, 3], [8, 3]], None, {}, 2)
    assert samples == [[end], [end]]
