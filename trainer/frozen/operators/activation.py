"""Activations and their kin: what bends a tensor without mixing its elements, and the softmaxes."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain

operator("Relu", versions=(6, 13, 14))(plain(torch.relu))
operator("Sigmoid", versions=(6, 13))(plain(torch.sigmoid))
operator("Tanh", versions=(6, 13))(plain(torch.tanh))
operator("HardSwish", versions=(14, 22))(plain(functional.hardswish))
operator("Mish", versions=(18, 22))(plain(functional.mish))
operator("Softplus", versions=(1, 22))(plain(functional.softplus))
operator("Softsign", versions=(1, 22))(plain(functional.softsign))


@operator("LeakyRelu", versions=(6, 16))
def leaky_relu(node: Node) -> Kernel:
    """The input where it is positive, alpha times it elsewhere."""
    return partial(functional.leaky_relu, negative_slope=node.real("alpha", 0.01))


@operator("HardSigmoid", versions=(6, 22))
def hard_sigmoid(node: Node) -> Kernel:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = node.real("alpha", 0.2), node.real("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


@operator("PRelu", versions=(7, 9, 16))
@plain
def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    """The input where it is not negative, slope times it elsewhere; the slope broadcasts to the input's shape."""
    return torch.where(x < 0, slope * x, x)


@operator("ThresholdedRelu", versions=(10, 22))
def thresholded_relu(node: Node) -> Kernel:
    """The input where it is greater than alpha, zero elsewhere."""
    return partial(functional.threshold, threshold=node.real("alpha", 1.0), value=0.0)


@operator("Shrink", versions=(9,))
def shrink(node: Node) -> Kernel:
    """The input plus bias below -lambd, minus bias above lambd, zero between."""
    bias, knee = node.real("bias", 0.0), node.real("lambd", 0.5)
    return lambda x: torch.where(x < -knee, x + bias, torch.where(x > knee, x - bias, torch.zeros_like(x)))


@operator("Elu", versions=(6, 22))
def elu(node: Node) -> Kernel:
    """The input where it is positive, alpha (exp(x) - 1) elsewhere."""
    return partial(functional.elu, alpha=node.real("alpha", 1.0))


@operator("Celu", versions=(12,))
def celu(node: Node) -> Kernel:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    return partial(functional.celu, alpha=node.real("alpha", 1.0))


@operator("Selu", versions=(6, 22))
def selu(node: Node) -> Kernel:
    """Gamma times the Elu."""
    alpha, gamma = node.real("alpha", 1.6732632423543772), node.real("gamma", 1.0507009873554805)
    return lambda x: gamma * functional.elu(x, alpha=alpha)


@operator("Gelu", versions=(20,))
def gelu(node: Node) -> Kernel:
    """The input times the normal distribution function of it, exactly or approximated by a hyperbolic tangent."""
    approximate = node.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise node.refusal(f"approximate is {approximate!r}, allowed 'none' and 'tanh'; export the model again")
    return partial(functional.gelu, approximate=approximate)


@operator("Swish", versions=(24,))
def swish(node: Node) -> Kernel:
    """The input times the sigmoid of alpha times it."""
    alpha = node.real("alpha", 1.0)
    return lambda x: x * torch.sigmoid(alpha * x)


@operator("Clip", versions=(6,))
def clip_between_attributes(node: Node) -> Kernel:
    """min(max(x, min), max) with bounds from attributes."""
    low, high = node.real("min", float("-inf")), node.real("max", float("inf"))
    return lambda x: torch.clamp(x, low, high)


@operator("Clip", versions=(11, 12, 13))
@plain
def clip_between_inputs(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """min(max(x, min), max) with optional scalar bounds from inputs."""
    return x if low is None and high is None else torch.clamp(x, low, high)


@operator("Softmax", versions=(13,))
def softmax_along_axis(node: Node) -> Kernel:
    """Softmax along one axis, the last by default."""
    return partial(torch.softmax, dim=node.integer("axis", -1))


@operator("LogSoftmax", versions=(13,))
def log_softmax_along_axis(node: Node) -> Kernel:
    """Logarithm of the softmax along one axis, the last by default."""
    return partial(torch.log_softmax, dim=node.integer("axis", -1))


@operator("Softmax", versions=(1, 11))
def softmax_of_rows(node: Node) -> Kernel:
    """Softmax over all axes from `axis` (1 by default) on, as one: before opset 13 the input was coerced to 2-D."""
    axis = node.integer("axis", 1)
    return lambda x: torch.softmax(x.flatten(axis), dim=-1).reshape(x.shape)


@operator("LogSoftmax", versions=(1, 11))
def log_softmax_of_rows(node: Node) -> Kernel:
    """Logarithm of the softmax over all axes from `axis` (1 by default) on, as one."""
    axis = node.integer("axis", 1)
    return lambda x: torch.log_softmax(x.flatten(axis), dim=-1).reshape(x.shape)


def _hardmax(x: Tensor, axis: int) -> Tensor:
    places = torch.arange(x.shape[axis], device=x.device)
    return (x.movedim(axis, -1).argmax(-1, keepdim=True) == places).to(x.dtype).movedim(-1, axis)


@operator("Hardmax", versions=(13,))
def hardmax_along_axis(node: Node) -> Kernel:
    """One at the first largest element along one axis, the last by default, zero elsewhere; it has no gradient."""
    return partial(_hardmax, axis=node.integer("axis", -1))


@operator("Hardmax", versions=(1, 11))
def hardmax_of_rows(node: Node) -> Kernel:
    """One at the first largest element over all axes from `axis` (1 by default) on, as one; it has no gradient."""
    axis = node.integer("axis", 1)
    return lambda x: _hardmax(x.flatten(axis), -1).reshape(x.shape)
