"""Student and sequential model as they are exported: the same numbers, and nothing computed that no answer reads.

A student's scores read the last layer's states at `<choose>`, the candidates and `<answer>` alone, so that layer asks
from those places only; its keys and values still come from every position. A retriever reads the newest item's state.
Used by `train.builds` and `train.retrieval`.
Axis letters: B texts, L positions, P places, N candidates, W width, H heads, D width of a head.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx.ops import rotary_embedding
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3DecoderLayer, Qwen3Model

from raconteur.reason.choice import ChoiceModel, letter_places
from raconteur.retrieve.sequential import ItemLM


class ServedGraph(nn.Module):
    """Takes what `ChoiceModel` takes and gives its scores, without dropout."""

    def __init__(self, model: ChoiceModel) -> None:
        super().__init__()
        self.model = model
        self.body = _Body(model.body)

    def forward(self, ids_BL: Tensor, choose_B: Tensor, places_BN: Tensor) -> Tensor:
        read_BP = torch.cat([choose_B[:, None], places_BN, places_BN[:, -1:] + 1], dim=1)
        read_BPW, model = self.body(ids_BL, read_BP), self.model
        user_BW, seen_BNW, answer_BW = read_BPW[:, 0], read_BPW[:, 1:-1], read_BPW[:, -1]
        if model.head == "letters":
            return model.letter_logits(ids_BL.gather(1, letter_places(choose_B, places_BN)), answer_BW)
        return model.point(ids_BL.gather(1, places_BN), user_BW, seen_BNW, answer_BW)


class StateGraph(nn.Module):
    """The sequential model's score of every item [B, V] at the newest one of each row."""

    def __init__(self, model: ItemLM) -> None:
        super().__init__()
        self.body = _Body(model.body)
        self.items_VW = nn.Parameter(model.items_VW.detach().clone(), requires_grad=False)

    def forward(self, items_BL: Tensor, last_B: Tensor) -> Tensor:
        return self.body(items_BL, last_B[:, None])[:, 0] @ self.items_VW.T


class _Body(nn.Module):
    """The last layer's states [B, P, W] at the places that are read."""

    def __init__(self, body: Qwen3Model) -> None:
        super().__init__()
        self.body = body
        self.layers = nn.ModuleList([_Layer(cast(Qwen3DecoderLayer, layer)) for layer in body.layers])

    def forward(self, ids_BL: Tensor, read_BP: Tensor) -> Tensor:
        body = self.body
        states_BLW, (num_texts, length) = body.embed_tokens(ids_BL), ids_BL.shape
        all_L = torch.arange(length)
        turns_LD = all_L[:, None] * body.rotary_emb.inv_freq
        cos_LD, sin_LD = turns_LD.cos(), turns_LD.sin()
        all_BL = all_L.expand(num_texts, -1)
        for layer in self.layers[:-1]:
            states_BLW = layer(states_BLW, states_BLW, all_BL, cos_LD, sin_LD)
        if len(self.layers) == 1:  # nothing has changed them yet: reading the few anew is less to do than picking them
            read_BPW = body.embed_tokens(ids_BL.gather(1, read_BP))
        else:
            rows_BP = read_BP + length * torch.arange(num_texts)[:, None]
            read_BPW = states_BLW.flatten(0, 1)[rows_BP]
        return body.norm(self.layers[-1](read_BPW, states_BLW, read_BP, cos_LD, sin_LD))


class _Layer(nn.Module):
    """A layer of the body, asked from some places of rows that are seen whole; products of equal input are one."""

    def __init__(self, layer: Qwen3DecoderLayer) -> None:
        super().__init__()
        self.layer = layer
        attention, mlp = layer.self_attn, layer.mlp
        assert attention.num_key_value_groups == 1, "the small models have as many heads for keys as for queries"
        self.seen = _joined(attention.k_proj, attention.v_proj)
        self.gated = _joined(mlp.gate_proj, mlp.up_proj)

    def forward(
        self, asking_BPW: Tensor, seen_BLW: Tensor, places_BP: Tensor, cos_LD: Tensor, sin_LD: Tensor
    ) -> Tensor:
        attention, norm, mlp = self.layer.self_attn, self.layer.input_layernorm, self.layer.mlp
        key_BLW, value_BLW = self.seen(norm(seen_BLW)).chunk(2, dim=-1)
        all_L = torch.arange(seen_BLW.shape[1])
        query_BHPD = attention.q_norm(_heads(attention.q_proj(norm(asking_BPW)), attention))
        key_BHLD = attention.k_norm(_heads(key_BLW, attention))
        query_BHPD = rotary_embedding(query_BHPD, cos_LD, sin_LD, places_BP)
        key_BHLD = rotary_embedding(key_BHLD, cos_LD, sin_LD, all_L.expand(seen_BLW.shape[0], -1))
        sees_B1PL = all_L <= places_BP[:, None, :, None]
        attended_BHPD = F.scaled_dot_product_attention(
            query_BHPD, key_BHLD, _heads(value_BLW, attention), attn_mask=sees_B1PL, scale=attention.scaling
        )
        joined_BPW = attended_BHPD.transpose(1, 2).reshape(asking_BPW.shape[0], -1, asking_BPW.shape[2])
        states_BPW = asking_BPW + attention.o_proj(joined_BPW)
        gate_BPW, up_BPW = self.gated(self.layer.post_attention_layernorm(states_BPW)).chunk(2, dim=-1)
        return states_BPW + mlp.down_proj(mlp.act_fn(gate_BPW) * up_BPW)


def _joined(*parts: nn.Linear) -> nn.Linear:
    weight = torch.cat([part.weight for part in parts])
    joined = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    joined.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return joined


def _heads(states_BPW: Tensor, attention: Qwen3Attention) -> Tensor:
    """Heads first [B, H, P, D]."""
    num_heads = states_BPW.shape[2] // attention.head_dim
    return states_BPW.reshape(states_BPW.shape[0], -1, num_heads, attention.head_dim).transpose(1, 2)
