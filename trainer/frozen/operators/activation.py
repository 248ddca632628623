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


@operator("LeakyRelu", versions=(6, 16))
def leaky_relu(node: Node) -> Kernel:
    """The input where it is positive, alpha times it elsewhere."""
    return partial(functional.leaky_relu, negative_slope=node.real("alpha", 0.01))


@operator("HardSigmoid", versions=(6, 22))
def hard_sigmoid(node: Node) -> Kernel:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = node.real("alpha", 0.2), node.real("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


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
