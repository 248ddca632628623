"""Scaled dot-product attention as one node, which exporters write from opset 23 on, and MatMul and Softmax before."""

from math import sqrt

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator


def _heads(x: Tensor, count: int) -> Tensor:
    """(batch, length, count * width) -> (batch, count, length, width); four axes stay as they are."""
    return x if x.dim() == 4 else x.reshape(*x.shape[:2], count, -1).transpose(1, 2)


@operator("Attention", versions=(23, 24))
def attention(node: Node) -> Kernel:
    """softmax(q k' * scale + mask) v for every head; several query heads may share one of keys and values."""
    surplus = [name for name in node.inputs[4:] if name]
    if surplus or node.real("softcap", 0.0) or node.integer("softmax_precision", 1) != 1:
        raise node.refusal(
            f"inputs {surplus}, softcap {node.real('softcap', 0.0)}, softmax_precision "
            f"{node.integer('softmax_precision', 1)}; allowed no past, no soft cap and single precision: export the "
            f"model without a cache, or with an opset before 23"
        )
    query_heads, key_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    stated, causal = node.real("scale", 0.0), bool(node.integer("is_causal", 0))

    def apply(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = _heads(query, query_heads), _heads(key, key_heads), _heads(value, key_heads)
        shared = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        scores = q @ k.transpose(-1, -2) * (stated or 1 / sqrt(q.shape[-1]))
        if mask is not None:
            scores = _masked(scores, mask.to(scores.device))
        if causal:
            scores = _masked(scores, torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril())
        mixed = _shares(scores) @ v
        return mixed if query.dim() == 4 else mixed.transpose(1, 2).flatten(2)

    return apply


def _shares(scores: Tensor) -> Tensor:
    """Softmax along the keys; a query that may look at none takes nothing from any."""
    blind = (scores == float("-inf")).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """A boolean mask keeps where it is true; a floating one is added."""
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
