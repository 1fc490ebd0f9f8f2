"""What runs fast must not change what is computed."""

import pytest
import torch
from transformers import Qwen3ForCausalLM

from raconteur.hardware import PLAIN_ATTENTION, attend
from raconteur.retrieve.sequential import body_config


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Qwen3ForCausalLM(body_config(50, 1, 16, 2)).eval()


@torch.inference_mode()
def test_attend_short_and_long_rows_give_the_same_logits(model):
    ids_BL = torch.randint(0, 50, (2, 40))
    padded = torch.ones_like(ids_BL)
    padded[0, :7] = 0  # as a batch is laid out for generation
    read = []
    for length in (PLAIN_ATTENTION, PLAIN_ATTENTION + 1):
        attend(model, length)
        read.append((model.config._attn_implementation, model(ids_BL, attention_mask=padded).logits))
    (short, plain_BLT), (long, fused_BLT) = read
    assert (short, long) == ("eager", "sdpa")
    torch.testing.assert_close(plain_BLT[1], fused_BLT[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain_BLT[0, 7:], fused_BLT[0, 7:], atol=1e-5, rtol=1e-5)
