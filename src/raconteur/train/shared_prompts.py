"""TRL's GRPO trainer for one small model, with a prompt that samples share read once instead of once a sample.

Samples and log-probabilities are those of TRL's own trainer to rounding. What is left out is most of a step's work
where prompts are long and samples short, as the writer's are; `raconteur bench grpo` says what a step takes.
Axis letters: S samples, G different prompts, P tokens of a prompt, padded on the left, C tokens of a padded sample.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel, StaticCache
from transformers.cache_utils import DynamicLayer
from trl import GRPOTrainer


class SharedPromptTrainer(GRPOTrainer):
    """Where a model is wrapped, by an adapter or over several devices, TRL's own trainer is to be taken."""

    @torch.no_grad()
    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        """A sample of each prompt, to its first end token; no log-probabilities, which only vLLM has by then."""
        tokenizer, model = cast(Any, self.processing_class), cast(PreTrainedModel, self.model)
        prompts = tokenizer.pad({"input_ids": prompt_ids}, padding_side="left", return_tensors="pt")
        ids_SP, mask_SP = prompts["input_ids"], prompts["attention_mask"]
        # Of full length from the start: a cache that grows is copied at every token.
        cache = StaticCache(model.config, max_cache_len=ids_SP.shape[1] + self.max_completion_length)
        if read := _read(model, ids_SP[:, :-1], mask_SP[:, :-1]):
            for number, layer in enumerate(cast(Sequence[DynamicLayer], read.layers)):
                cache.update(cast(Tensor, layer.keys), cast(Tensor, layer.values), number)
        ids = cast(Any, model).generate(
            input_ids=ids_SP,
            attention_mask=mask_SP,
            past_key_values=cache,
            generation_config=self.generation_config,
        )
        return [_to_end(sample, self.eos_token_ids) for sample in ids[:, ids_SP.shape[1] :].tolist()], None

    def _get_per_token_logps_and_entropies(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Log-probability, and entropy if it is asked for, of each sampled token [S, C]; no loss of experts."""
        # A prompt's last token is read with the sample, whose first token follows from its state.
        num_read = input_ids.shape[1] - logits_to_keep - 1
        rest = input_ids[:, num_read:]
        outputs = model(
            input_ids=rest,
            attention_mask=attention_mask,
            past_key_values=_read(model, input_ids[:, :num_read], attention_mask[:, :num_read]),
            labels=rest.masked_fill(attention_mask[:, num_read:] == 0, -100),
            fused_lm_head=True,
        )
        return outputs.log_probs, outputs.entropy if compute_entropy else None, None


def _read(model: PreTrainedModel, prompts_SP: Tensor, mask_SP: Tensor) -> Cache | None:
    """Keys and values of every sample's prompt, from one pass over the different ones; None where they are empty."""
    if not prompts_SP.shape[1]:
        return None
    # With the mask, since a pad token could also stand in a prompt.
    _, group_S = torch.unique(torch.stack([prompts_SP, mask_SP]), dim=1, return_inverse=True)
    first_G = torch.stack([(group_S == group).nonzero()[0, 0] for group in range(int(group_S.max()) + 1)])
    read = model.base_model(input_ids=prompts_SP[first_G], attention_mask=mask_SP[first_G], use_cache=True)
    read.past_key_values.batch_select_indices(group_S)
    return read.past_key_values


def _to_end(sample: Sequence[int], end_ids: Sequence[int]) -> list[int]:
    ends = [place for place, token in enumerate(sample) if token in end_ids]
    return list(sample[: ends[0] + 1] if ends else sample)
