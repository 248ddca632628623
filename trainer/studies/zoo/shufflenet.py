"""ShuffleNetV2: half of the channels pass by, the others are convolved, then both are shuffled.

Source: Ma et al., ShuffleNet V2 (2018).
"""

import torch
from torch import Tensor, nn

from trainer.studies.zoo.blocks import conv_norm


def shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels, with the sizes taken from the batch as torchvision takes them."""
    rows, channels, height, width = x.size()
    halves = x.view(rows, 2, channels // 2, height, width)
    return torch.transpose(halves, 1, 2).contiguous().view(rows, channels, height, width)


def _branch(inner: int, half: int, stride: int) -> nn.Sequential:
    depthwise = conv_norm(half, half, 3, stride, groups=half, activation=None)
    return nn.Sequential(conv_norm(inner, half, 1), depthwise, conv_norm(half, half, 1))


class Unit(nn.Module):
    """Keeps the shape: one half passes by."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = _branch(channels // 2, channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Both halves, shuffled."""
        passed, convolved = x.chunk(2, dim=1)
        return shuffle(torch.cat([passed, self.branch(convolved)], dim=1))


class Downsampling(nn.Module):
    """Halves the size and widens: both branches are convolved."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        depthwise = conv_norm(inner, inner, 3, 2, groups=inner, activation=None)
        self.short = nn.Sequential(depthwise, conv_norm(inner, outer // 2, 1))
        self.long = _branch(inner, outer // 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Both branches, shuffled."""
        return shuffle(torch.cat([self.short(x), self.long(x)], dim=1))


class GlobalMean(nn.Module):
    """The mean over height and width as torchvision's ShuffleNet takes it: no pool."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c)."""
        return x.mean([2, 3])


def shufflenet() -> nn.Sequential:
    """Stem, two stages of one halving and one or two units, last convolution."""
    stages = [Downsampling(8, 16), Unit(16), Downsampling(16, 32), Unit(32), Unit(32)]
    top = [conv_norm(32, 64, 1), GlobalMean(), nn.Linear(64, 10)]
    return nn.Sequential(conv_norm(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1), *stages, *top)
