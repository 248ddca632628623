"""ResNet with basic and with bottleneck blocks, and the three-stage ResNet-20 for 32 x 32 pictures.

Source: He et al., Deep Residual Learning for Image Recognition (2016); in the bottleneck the 3 x 3 convolution strides,
as in torchvision.
"""

import torch
from torch import Tensor, nn

from trainer.studies.zoo.blocks import conv_norm, head


class Block(nn.Module):
    """Some convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes; ReLU after the sum."""

    def __init__(self, body: nn.Sequential, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.body = body
        same = stride == 1 and inner == outer
        self.shortcut = nn.Identity() if same else conv_norm(inner, outer, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of body and shortcut."""
        return torch.relu(self.body(x) + self.shortcut(x))


def basic(inner: int, outer: int, stride: int) -> Block:
    """Two 3 x 3 convolutions."""
    body = nn.Sequential(conv_norm(inner, outer, 3, stride), conv_norm(outer, outer, 3, activation=None))
    return Block(body, inner, outer, stride)


def bottleneck(inner: int, outer: int, stride: int) -> Block:
    """1 x 1, 3 x 3 and 1 x 1 convolutions, the middle ones with a quarter of the channels."""
    narrow = outer // 4
    body = nn.Sequential(
        conv_norm(inner, narrow, 1), conv_norm(narrow, narrow, 3, stride), conv_norm(narrow, outer, 1, activation=None)
    )
    return Block(body, inner, outer, stride)


def resnet_basic() -> nn.Sequential:
    """ResNet-18's kinds of nodes: 7 x 7 stem, max pool, basic blocks."""
    stem = [conv_norm(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, basic(8, 8, 1), basic(8, 16, 2), basic(16, 32, 2), head(32, 10))


def resnet_bottleneck() -> nn.Sequential:
    """ResNet-50's kinds of nodes: the same with bottleneck blocks."""
    stem = [conv_norm(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1)]
    blocks = [bottleneck(8, 32, 1), bottleneck(32, 32, 1), bottleneck(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, head(64, 10))


def resnet20() -> nn.Sequential:
    """The whole ResNet-20 for CIFAR: three stages of three basic blocks, 16, 32 and 64 wide."""
    widths = [(16, 16, 1), *[(16, 16, 1)] * 2, (16, 32, 2), *[(32, 32, 1)] * 2, (32, 64, 2), *[(64, 64, 1)] * 2]
    return nn.Sequential(conv_norm(3, 16), *(basic(*width) for width in widths), head(64, 10))
