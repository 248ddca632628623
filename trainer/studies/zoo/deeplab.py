"""A DeepLabV3-style network: dilated stages, spatial pyramid with image pooling, scores resized to the input's size.

Source: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation (2017).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.studies.zoo.blocks import conv_norm
from trainer.studies.zoo.resnet import basic


class ImagePooling(nn.Module):
    """What the whole picture says, at every place."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(inner, outer, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Of the size of `x`."""
        return functional.interpolate(self.body(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    """Convolutions of several dilations beside the image pooling, joined and projected."""

    def __init__(self, inner: int, outer: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        dilated = [conv_norm(inner, outer, 3, dilation=dilation) for dilation in dilations]
        self.branches = nn.ModuleList([conv_norm(inner, outer, 1), *dilated, ImagePooling(inner, outer)])
        self.project = nn.Sequential(conv_norm(outer * (len(dilations) + 2), outer, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outer, height, width)."""
        projected: Tensor = self.project(torch.cat([branch(x) for branch in self.branches], dim=1))
        return projected


class DeepLab(nn.Module):
    """Stride 4, then a dilated stage, pyramid, and scores of three classes at every pixel."""

    def __init__(self) -> None:
        super().__init__()
        stem = [conv_norm(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1), basic(8, 16, 1)]
        self.backbone = nn.Sequential(*stem, conv_norm(16, 24, dilation=2), conv_norm(24, 24, dilation=4))
        self.head = nn.Sequential(Pyramid(24, 12, (2, 4, 6)), conv_norm(12, 12), nn.Conv2d(12, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, height, width)."""
        scores = self.head(self.backbone(x))
        return functional.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)


def deeplab() -> DeepLab:
    """The whole of it."""
    return DeepLab()
