"""What this machine computes fast."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor
from torch.optim import _muon
from transformers import PreTrainedModel

PLAIN_ATTENTION = 400  # tokens a row up to which attention is computed without the fused kernel


def autocast() -> AbstractContextManager[None]:
    """Runs matrix products in bf16 where the processor has instructions for it.

    Elsewhere torch emulates bf16, which was measured a hundred times slower than float32, so nothing is changed there.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bf16())


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """As many threads in torch's operators as what they are compared with has."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


def attend(model: PreTrainedModel, length: int) -> None:
    """Has a model attend as is fast for rows of so many tokens.

    Plain attention trains faster on short rows (100 tokens: 1.7 times), the fused kernel on long ones (900: 3.7 times).
    """
    model.set_attn_implementation("eager" if length <= PLAIN_ATTENTION else "sdpa")


def muon(matrices: list[torch.nn.Parameter], rate: float) -> torch.optim.Muon:
    """Torch's Muon, whose bf16 iteration is run in float32 where bf16 is emulated: ten times faster there."""
    if not has_bf16():
        _muon._zeropower_via_newtonschulz = _orthogonalised
    return torch.optim.Muon(matrices, lr=rate, weight_decay=0.0)


def _orthogonalised(grad: Tensor, ns_coefficients: tuple[float, float, float], ns_steps: int, eps: float) -> Tensor:
    """The quintic Newton-Schulz iteration of `torch.optim.Muon`, without its cast."""
    a, b, c = ns_coefficients
    matrix = grad.T if grad.shape[0] > grad.shape[1] else grad
    matrix = matrix / matrix.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = matrix @ matrix.T
        matrix = torch.addmm(matrix, torch.addmm(gram, gram, gram, beta=b, alpha=c), matrix, beta=a)
    return matrix.T if grad.shape[0] > grad.shape[1] else matrix
