"""ConvNeXt: wide depthwise convolutions, LayerNorm over the channels of a channels-last tensor, GELU, a layer scale.

Source: Liu et al., A ConvNet for the 2020s (2022).
"""

import torch
from torch import Tensor, nn

from trainer.studies.zoo.blocks import Residual


class ChannelsLast(nn.Module):
    """(n, c, h, w) to (n, h, w, c)."""

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.permute(0, 2, 3, 1)


class ChannelsFirst(nn.Module):
    """(n, h, w, c) to (n, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """One factor per channel, of a channels-last tensor."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scaled."""
        return x * self.scale


def _norm(channels: int) -> list[nn.Module]:
    return [ChannelsLast(), nn.LayerNorm(channels, eps=1e-6), ChannelsFirst()]


def _block(channels: int) -> Residual:
    pointwise = [nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)]
    depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
    last = [ChannelsLast(), nn.LayerNorm(channels, eps=1e-6), *pointwise, LayerScale(channels), ChannelsFirst()]
    return Residual(depthwise, *last)


def convnext() -> nn.Sequential:
    """Patchify stem, two stages of two blocks with a downsampling between them."""
    stem = [nn.Conv2d(3, 16, 4, 4), *_norm(16)]
    down = [*_norm(16), nn.Conv2d(16, 32, 2, 2)]
    top = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32, eps=1e-6), nn.Linear(32, 10)]
    return nn.Sequential(*stem, _block(16), _block(16), *down, _block(32), _block(32), *top)
