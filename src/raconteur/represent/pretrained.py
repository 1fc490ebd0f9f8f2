"""Loads any Hugging Face causal language model, given by folder or id, and puts a request to it in its own form.

Used by the Verbalizer and the Reasoner of the production profile (`represent.llm`, `reason.llm`). Weights are read from
safetensors only and no code of a model's repository is run. What is learned is a LoRA adapter: the base stays as it is.
"""

import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from raconteur.config.schema import LlmConfig
from raconteur.errors import ArtifactError
from raconteur.represent.mentions import plain

ADAPTER = "adapter"  # folder of the LoRA weights inside an artefact
WEIGHTS = "adapter_model.safetensors"
MAX_TEXT = 160  # characters of a title: one entry of a catalogue must not fill a prompt

# Hugging Face's classes of models have no common type for `generate`, adapters and attention settings.
CausalLM = Any


def device() -> torch.device:
    """The accelerator of this process, or the CPU; launchers such as accelerate number their processes."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def load_pretrained(base: str, adapter: Path | None = None) -> tuple[CausalLM, PreTrainedTokenizerBase]:
    """The model, on the CPU and in bf16 where a GPU will hold it, and its tokenizer, which pads on the left.

    Args:
        base: folder, or an id that the Hugging Face client finds in its cache or fetches.
        adapter: folder of LoRA weights to put on it.

    Raises:
        ArtifactError: there is no such model, it has no safetensors, or the adapter does not belong to it.
    """
    local = Path(base).is_dir()
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=local, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(base, local_files_only=local, use_safetensors=True, dtype=dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(
            f"language model {base} cannot be read ({_first_line(error)}); "
            "llm.base is a folder with safetensors, or an id of one"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return (model if adapter is None else _with_adapter(model, adapter)), tokenizer


def with_lora(model: PreTrainedModel, settings: LlmConfig, *, seed: int) -> PeftModel:
    """The model with a fresh LoRA adapter on every linear layer; it computes what it did until it is trained.

    Source: Hu et al., 2021 (LoRA); all linear layers: Dettmers et al., 2023 (QLoRA, section 4).
    """
    torch.manual_seed(seed)
    about = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, about)


def save_adapter(model: CausalLM, folder: Path) -> None:
    """Writes the LoRA weights, if there are any; a base without an adapter is named by its artefact and not copied.

    Where weights are sharded, every process has to take part.
    """
    if isinstance(model, PeftModel):
        weights = get_peft_model_state_dict(model, save_embedding_layers=False)
        whole = {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in weights.items()}
        (folder / ADAPTER).mkdir()
        save_file({name: value.cpu().contiguous() for name, value in whole.items()}, folder / ADAPTER / WEIGHTS)
        model.peft_config["default"].save_pretrained(str(folder / ADAPTER))


def adapter_of(folder: Path) -> Path | None:
    return folder / ADAPTER if (folder / ADAPTER).is_dir() else None


def as_prompt(tokenizer: PreTrainedTokenizerBase, request: str) -> str:
    """The request as the model expects it: in its chat template, ready for the answer, or followed by a line's end.

    Models that can think aloud are told not to: an answer is one token, a narrative a few dozen. The text is to be
    encoded with special tokens added.
    """
    if tokenizer.chat_template is None:
        return f"{request}\n"
    said = [{"role": "user", "content": request}]
    text = str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False))
    if tokenizer.bos_token and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id:
        return text.removeprefix(tokenizer.bos_token)  # the template and the tokenizer would both begin with it
    return text


def harmless(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Text of a log or catalogue on one line, without anything that the model would read as a control token."""
    text = plain(text)  # most control tokens stand in angle brackets
    for token in tokenizer.added_tokens_decoder.values():
        if token.special and token.content in text:
            text = text.replace(token.content, " ")
    return text


def short(title: str) -> str:
    return title if len(title) <= MAX_TEXT else f"{title[: MAX_TEXT - 1]}…"


def _with_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    if not (adapter / WEIGHTS).is_file():
        raise ArtifactError(f"{adapter} holds no LoRA weights in safetensors ({WEIGHTS})")
    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True, torch_device="cpu")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{adapter} does not fit the language model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
