"""Mean and variance of every channel, and their slope.

Torch reduces over images and positions at once by strides, and its slope of a variance makes several passes: together
they took half of a gradient step of a small network. Here positions, which lie side by side in memory, are reduced
first, and the slope is two passes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Moments = tuple[Tensor, Tensor]
"""Mean and variance (C,) of each channel, over images and positions."""


def channel_moments(activation: Tensor) -> Moments:
    """Of an activation (n, C, ...)."""
    mean, var = _ChannelMoments.apply(activation)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return mean, var


class _ChannelMoments(torch.autograd.Function):
    """m = mean(x), v = mean((x - m)^2), both of a channel; dm/dx = 1 / N, dv/dx = 2 (x - m) / N."""

    @staticmethod
    def forward(ctx: Any, activation: Tensor) -> Moments:
        """Both moments, in two passes."""
        values = activation.reshape(*activation.shape[:2], -1)
        count = values.shape[0] * values.shape[2]
        mean = values.sum(dim=2).sum(dim=0) / count
        # Not mean(x^2) - m^2: of a channel far from zero that would leave only rounding.
        norms = torch.linalg.vector_norm(values - mean[:, None], dim=2)
        ctx.save_for_backward(activation, mean)
        return mean, norms.square().sum(dim=0) / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor, by_var: Tensor) -> Tensor:
        """The slope by x: m' dm/dx + v' dv/dx."""
        activation, mean = ctx.saved_tensors
        count = activation.numel() // len(mean)
        level, steepness, mean = (
            value.reshape(-1, *[1] * (activation.ndim - 2)) for value in (by_mean / count, 2.0 * by_var / count, mean)
        )
        # About the mean: times x itself, a steep slope of a channel that hardly varies would leave only rounding.
        return torch.addcmul(level, activation - mean, steepness)
