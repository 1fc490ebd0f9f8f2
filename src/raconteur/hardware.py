"""What this machine computes fast."""

from contextlib import AbstractContextManager

import torch


def autocast() -> AbstractContextManager[None]:
    """Runs matrix products in bf16 where the processor has instructions for it.

    Elsewhere torch emulates bf16, which was measured a hundred times slower than float32, so nothing is changed there.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())
