"""DenseNet: layers that see the concatenation of all before them, normalisation before the convolution, average pools.

Source: Huang et al., Densely Connected Convolutional Networks (2017). A normalisation that follows a concatenation can
be folded into no convolution, so that some survive every exporter.
"""

import torch
from torch import Tensor, nn

from trainer.studies.zoo.blocks import conv_norm, head

GROWTH = 8


class DenseLayer(nn.Module):
    """What came, and eight new channels computed from it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * GROWTH, 1, bias=False),
            nn.BatchNorm2d(4 * GROWTH),
            nn.ReLU(),
            nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Input and new channels, one after the other."""
        return torch.cat([x, self.body(x)], dim=1)


def _transition(channels: int) -> list[nn.Module]:
    halving = nn.Conv2d(channels, channels // 2, 1, bias=False)
    return [nn.BatchNorm2d(channels), nn.ReLU(), halving, nn.AvgPool2d(2, 2)]


def densenet() -> nn.Sequential:
    """Two dense blocks of three layers with a transition between them."""
    stem = [conv_norm(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)]
    first = [DenseLayer(16), DenseLayer(24), DenseLayer(32), *_transition(40)]
    second = [DenseLayer(20), DenseLayer(28), DenseLayer(36), nn.BatchNorm2d(44), nn.ReLU()]
    return nn.Sequential(*stem, *first, *second, head(44, 10))
