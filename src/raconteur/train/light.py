"""Distils the Reasoner into the light ranker by the student's lessons, loss on lists, gate and steps (`train.distil`).

Vectors of tokens start as the Reasoner's on their principal directions, and the prior as its own. With `hard_weight` 1
the Reasoner is not heard at all: that is the twin. Axis letters as in `reason.light`; R lessons, W width of the
Reasoner, T tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.light import LightRanker, Weights
from raconteur.train.distil import principal, read_lessons, taught_loss
from raconteur.train.evidence import read_evidence
from raconteur.train.identity import training_key
from raconteur.train.loop import fit

WIDTH, HIDDEN = 32, 64


def train_light(
    config: Config, lessons: Path, evidence: Path, reasoner: Path, out: Path, checkpoints: Path
) -> dict[str, float]:
    """Writes the light ranker's folder; returns its last losses and agreement with the teacher while training.

    Args:
        evidence: of the same lessons (`train.evidence`).
    """
    teacher = ChoiceReasoner.load(reasoner)
    prompts, settings = teacher.prompts, config.student
    read, known = read_lessons(lessons, prompts), read_evidence(evidence)
    torch.manual_seed(config.seed)
    model = start(teacher.model, num_parts=known.parts_BNP.shape[2], state_width=known.state_BS.shape[1])

    def loss_of(_step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows_B = rng.integers(len(read.texts), size=settings.batch_size)
        asked = known[rows_B]
        shown = [read.items[item_id] for row in rows_B for item_id in read.candidates[row]]
        parts_BNP, state_BS = torch.from_numpy(asked.parts_BNP), torch.from_numpy(asked.state_BS)
        scores_BN = model([read.texts[row] for row in rows_B], shown, parts_BNP, state_BS)
        return taught_loss(scores_BN, read.truth_R[rows_B], read.taught_RN[rows_B], settings)

    key = training_key(config, ("student", "seed"), reads=[lessons, evidence, reasoner])
    curves = fit(
        model,
        loss_of,
        name="light",
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
        seed=config.seed,
        checkpoint=checkpoints / f"light-{key}.pt",
        fingerprint=key,
    )
    with new_folder(out, kind="light", config=config.model_dump(mode="json")) as folder:
        LightRanker(model.weights(), prompts).save(folder)
        (folder / "curves.json").write_text(json.dumps(curves))
    return {name: curves[name][-1] for name in ("soft", "hard", "agreement")}


class LightNetwork(nn.Module):
    """The sums of `reason.light.forward`, with gradients."""

    def __init__(self, num_tokens: int, *, num_parts: int, state_width: int) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(num_tokens, WIDTH, mode="mean")
        self.prior = nn.EmbeddingBag(num_tokens, 1, mode="mean", _weight=torch.zeros(num_tokens, 1))
        self.evidence = nn.Linear(num_parts, 1, bias=False)
        self.state = nn.Linear(state_width, WIDTH, bias=False)
        self.hidden = nn.Linear(5 * WIDTH + num_parts, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1, bias=False)
        nn.init.zeros_(self.evidence.weight)

    def forward(
        self, texts: Sequence[Sequence[int]], items: Sequence[Sequence[int]], parts_BNP: Tensor, state_BS: Tensor
    ) -> Tensor:
        """Scores [B, N]."""
        each = (*parts_BNP.shape[:2], -1)
        shown = _bags(items)
        item_BND = self.tokens(*shown).view(each)
        text_BND = (self.tokens(*_bags(texts)) * WIDTH**0.5)[:, None].expand(each)
        state_BND = self.state(state_BS)[:, None].expand(each)
        features = [text_BND, state_BND, item_BND, text_BND * item_BND, state_BND * item_BND, parts_BNP]
        judged_BN1 = self.out(F.relu(self.hidden(torch.cat(features, dim=2))))
        return (self.evidence(parts_BNP) + self.prior(*shown).view(each) + judged_BN1).squeeze(2)

    def weights(self) -> Weights:
        layers = (self.tokens, self.prior, self.evidence, self.state, self.hidden, self.out)
        tokens, prior, evidence, state, hidden, out = (layer.weight.detach().numpy() for layer in layers)
        bias_H = self.hidden.bias.detach().numpy()
        text_HU, item_HF = (half.copy() for half in np.split(hidden, [2 * WIDTH], axis=1))
        return Weights(tokens, prior[:, 0].copy(), evidence[0], state, text_HU, item_HF, bias_H, out[0])


def start(teacher: ChoiceModel, *, num_parts: int, state_width: int) -> LightNetwork:
    """A light ranker that knows the teacher's tokens and nothing else yet."""
    table_TW = teacher.body.embed_tokens.weight.detach()
    light = LightNetwork(len(table_TW), num_parts=num_parts, state_width=state_width)
    with torch.no_grad():
        projected = principal(table_TW, WIDTH)
        light.tokens.weight.zero_()[:, : projected.shape[1]] = projected
        if teacher.head == "pointer":
            light.prior.weight.copy_(teacher.prior.weight)
    return light


def _bags(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids of all rows, one after the other, and where each row starts."""
    starts = np.cumsum([0, *map(len, rows)])[:-1]
    return torch.tensor([number for row in rows for number in row], dtype=torch.long), torch.from_numpy(starts)
