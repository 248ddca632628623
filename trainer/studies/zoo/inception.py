"""Inception: branches of several kernels, factorised ones included, joined by their channels.

Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2016).
"""

import torch
from torch import Tensor, nn

from trainer.studies.zoo.blocks import conv_norm, head


class Branches(nn.Module):
    """Several bodies over the same input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Their outputs, one after the other."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _square(inner: int) -> Branches:
    """1 x 1, 5 x 5, two 3 x 3, and a pool; 32 channels. Padding counts in the average pool, as torch has it."""
    return Branches(
        conv_norm(inner, 8, 1),
        nn.Sequential(conv_norm(inner, 6, 1), conv_norm(6, 8, 5)),
        nn.Sequential(conv_norm(inner, 6, 1), conv_norm(6, 8), conv_norm(8, 8)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), conv_norm(inner, 8, 1)),
    )


def _halving(inner: int) -> Branches:
    """A strided 3 x 3 without padding beside a pool of the same windows; 16 channels more."""
    strided = [nn.Conv2d(inner, 16, 3, 2, bias=False), nn.BatchNorm2d(16, eps=1e-3), nn.ReLU()]
    return Branches(nn.Sequential(*strided), nn.MaxPool2d(3, 2))


def _factorised(inner: int) -> Branches:
    """1 x 1, and 1 x 7 after 7 x 1; 24 channels."""
    tall_and_wide = [conv_norm(inner, 8, 1), conv_norm(8, 8, (1, 7)), conv_norm(8, 12, (7, 1))]
    return Branches(conv_norm(inner, 12, 1), nn.Sequential(*tall_and_wide))


def inception() -> nn.Sequential:
    """One module of each kind."""
    stem = [conv_norm(3, 8, 3, 2), conv_norm(8, 16), nn.MaxPool2d(3, 2, ceil_mode=True)]
    return nn.Sequential(*stem, _square(16), _halving(32), _factorised(48), head(24, 10, dropout=0.5))
