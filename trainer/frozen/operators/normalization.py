"""Normalization: with stored statistics (inference mode only), or with those of the tensor itself."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator


@operator("BatchNormalization", versions=(7, 9, 14, 15))
def batch_normalization(node: Node) -> Kernel:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, per channel, with the stored mean and var, each (C,)."""
    if node.integer("training_mode", 0):
        raise node.refusal("training_mode is 1, allowed 0; export the model in inference mode")
    if not node.integer("spatial", 1):
        raise node.refusal("spatial is 0, allowed 1 (one statistic per channel); export the model with a newer opset")
    epsilon = node.real("epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, var, scale, bias, training=False, eps=epsilon)

    return apply


@operator("InstanceNormalization", versions=(6, 22))
def instance_normalization(node: Node) -> Kernel:
    """(x - mean) / sqrt(var + epsilon) * scale + bias with mean and var over the spatial axes of each channel."""
    epsilon = node.real("epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return functional.group_norm(x, x.shape[1], scale, bias, epsilon)

    return apply


def _group_normalization(bind_repeats: Callable[[int, int], int]) -> Callable[[Node], Kernel]:
    def bind(node: Node) -> Kernel:
        groups, epsilon = node.integer("num_groups", 0), node.real("epsilon", 1e-5)

        def apply(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
            repeats = bind_repeats(x.shape[1], groups)
            scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
            return functional.group_norm(x, groups, scale, bias, epsilon)

        return apply

    return bind


# Scale and bias are one per group in version 18 and one per channel from 21 on.
operator("GroupNormalization", versions=(18,))(_group_normalization(lambda channels, groups: channels // groups))
operator("GroupNormalization", versions=(21,))(_group_normalization(lambda _channels, _groups: 1))


@operator("LayerNormalization", versions=(17,), outputs=3)
def layer_normalization(node: Node) -> Kernel:
    """(x - mean) / sqrt(var + epsilon) * scale + bias over the axes from `axis` on; also mean and 1 / sqrt(...)."""
    axis, epsilon = node.integer("axis", -1), node.real("epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        sizes = list(x.shape[axis % x.dim() :])
        if list(scale.shape) == sizes and (bias is None or bias.shape == scale.shape):
            return torch.native_layer_norm(x, sizes, scale, bias, epsilon)
        normal, mean, inverse = torch.native_layer_norm(x, sizes, None, None, epsilon)
        return normal * scale if bias is None else normal * scale + bias, mean, inverse

    return apply


@operator("RMSNormalization", versions=(23,))
def rms_normalization(node: Node) -> Kernel:
    """The input / sqrt(mean of squares + epsilon) * scale over the axes from `axis` on."""
    axis, epsilon = node.integer("axis", -1), node.real("epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(axis % x.dim(), x.dim()))
        return x * torch.rsqrt(x.square().mean(dim=axes, keepdim=True) + epsilon) * scale

    return apply


@operator("LRN", versions=(1, 13))
def local_response_normalization(node: Node) -> Kernel:
    """The input / (bias + alpha * mean of squares over `size` neighbouring channels) ^ beta."""
    size = node.integer("size", 0)
    if size < 1 or size % 2 == 0:
        raise node.refusal(f"size is {size}, allowed odd ones (onnxruntime runs no others); export the model again")
    alpha, beta, bias = node.real("alpha", 1e-4), node.real("beta", 0.75), node.real("bias", 1.0)
    return lambda x: functional.local_response_norm(x, size, alpha, beta, bias)


@operator("MeanVarianceNormalization", versions=(9, 13))
def mean_variance_normalization(node: Node) -> Kernel:
    """(x - mean) / (standard deviation + 1e-9) over the axes given, all but the channels by default."""
    axes = node.integers("axes") or (0, 2, 3)

    def apply(x: Tensor) -> Tensor:
        centred = x - x.mean(dim=axes, keepdim=True)
        variance = centred.square().mean(dim=axes, keepdim=True)
        # The root's slope at zero is infinite; nothing of a flat picture is left to scale there.
        deviation = torch.where(variance > 0, variance, 1.0).sqrt() * (variance > 0)
        return centred / (deviation + 1e-9)

    return apply


@operator("LpNormalization", versions=(1, 22))
def lp_normalization(node: Node) -> Kernel:
    """The input over its sum of magnitudes (p is 1) or its length (p is 2) along `axis`; zeros stay zeros."""
    axis, p = node.integer("axis", -1), node.integer("p", 2)
    if p not in (1, 2):
        raise node.refusal(f"p is {p}, allowed 1 and 2; export the model again")

    def apply(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, ord=p, dim=axis, keepdim=True)
        return x / torch.where(length == 0, torch.ones_like(length), length)

    return apply
