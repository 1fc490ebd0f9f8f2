"""A short run of everything that the production profile does to a language model, with its speed and peak memory.

The model is the one of `llm.base`, or one of random weights in a given shape, which costs as much and needs no
download. What it writes is then noise; only seconds and bytes mean something. The data are a small embedded world.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.data.prepare import prepare
from raconteur.reason.llm import LetterReasoner
from raconteur.represent.llm import LlmVerbalizer
from raconteur.train.choice import histories_of
from raconteur.train.examples import training_log
from raconteur.train.pretrained import start_llm_reasoner, train_llm_verbalizer, tune_llm_reasoner

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# Of `Qwen3Config`; 0.6b as published in the model's config.json.
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
    },
    "tiny": {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 8192,
    },
}
NUM_WRITTEN = 64  # histories that are written about, and lists that are scored


def smoke(config: Config, shape: str, folder: Path) -> dict[str, float]:
    """Writes, scores, takes the configured steps of GRPO and tuning; returns seconds, tokens a second and GiB.

    Args:
        config: `llm`, `text`, `verbalizer` and `reasoner` say how; the data of the config are not read.
        shape: of `SHAPES`, where `llm.base` is not set.
        folder: everything that the run writes.
    """
    base = config.llm.base or random_base(folder / "base", shape)
    world = {"num_users": 200, "num_items": 200, "num_days": 60}
    own = {
        "workdir": folder,
        "data": {"min_value": 10},
        "world": world,
        "llm": {**config.llm.model_dump(), "base": base},
    }
    config = Config.model_validate({**config.model_dump(), **own})
    data, frozen, words = folder / "data", folder / "frozen", folder / "verbalizer"
    prepare(config, data)
    start_llm_reasoner(config, data, frozen)
    log = training_log(load_dataset(data))
    targets = log.targets.tail(NUM_WRITTEN)
    histories = histories_of(log, targets, config.text.max_events)
    grpo, steps = config.verbalizer.grpo, max(1, config.verbalizer.grpo.num_steps)
    writing: list[str] = []
    seconds = {
        "grpo_s": _timed(lambda: train_llm_verbalizer(config, data, frozen, words, folder / "checkpoints")),
        "tune_s": _timed(
            lambda: tune_llm_reasoner(config, data, frozen, words, folder / "tuned", folder / "checkpoints")
        ),
    }
    writer, reasoner = LlmVerbalizer.load(words), LetterReasoner.load(frozen)
    seconds["write_s"] = _timed(lambda: writing.extend(writer.write(histories)))
    lists = _lists(load_dataset(data).items["item_id"].to_list(), len(writing), config.evaluate.num_candidates)
    seconds["score_s"] = _timed(lambda: reasoner.score(writing, lists))
    # At most: a text that ends early has fewer tokens.
    num_tokens = len(histories) * config.verbalizer.max_new_tokens
    return {
        "parameters_millions": sum(value.numel() for value in reasoner.model.parameters()) / 1e6,
        **seconds,
        "grpo_s_per_step": seconds["grpo_s"] / steps,
        "grpo_samples_per_step": float(grpo.prompts_per_step * grpo.group_size),
        "write_tokens_per_s_at_most": num_tokens / seconds["write_s"],
        "lists_scored_per_s": len(lists) / seconds["score_s"],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan"),
    }


def random_base(folder: Path, shape: str, *, chat_template: str | None = CHAT) -> str:
    """Writes a Qwen3 of random weights, whose tokens are bytes; returns its folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={byte: number for number, byte in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+|\S+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=STOP,
        pad_token=END,
        extra_special_tokens=[START],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    about = Qwen3Config(
        **SHAPES[shape],
        tie_word_embeddings=True,
        initializer_range=0.2 if shape == "tiny" else 0.02,  # so narrow a model else says nearly the same of everything
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(about).save_pretrained(folder)
    return str(folder)


def _lists(item_ids: Sequence[str], num: int, length: int) -> list[list[str]]:
    return [[item_ids[(start + place) % len(item_ids)] for place in range(length)] for start in range(num)]


def _timed(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
