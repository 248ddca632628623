"""onnxruntime's own operators on real numbers, which its optimizers write into saved models. All have version 1."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain

DOMAIN = "com.microsoft"


def _approximate_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.gelu(x if bias is None else x + bias, approximate="tanh")


operator("Gelu", versions=(1,), domain=DOMAIN)(plain(functional.gelu))
operator("BiasGelu", versions=(1,), domain=DOMAIN)(plain(lambda x, bias: functional.gelu(x + bias)))
operator("FastGelu", versions=(1,), domain=DOMAIN)(plain(_approximate_gelu))


@operator("QuickGelu", versions=(1,), domain=DOMAIN)
def quick_gelu(node: Node) -> Kernel:
    """The input times the sigmoid of alpha times it."""
    alpha = node.real("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


@operator("SkipLayerNormalization", versions=(1,), outputs=4, domain=DOMAIN)
def skip_layer_normalization(node: Node) -> Kernel:
    """LayerNormalization over the last axis of x + skip + bias; the fourth output is that sum."""
    normalize = partial(torch.native_layer_norm, eps=node.real("epsilon", 1e-12))

    def apply(
        x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total = x + skip if bias is None else x + skip + bias
        return (*normalize(total, [total.shape[-1]], gamma, beta), total)

    return apply
