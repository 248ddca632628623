"""U-Net: down, up, and what was seen on the way down beside it; upsampling by transposed convolution or bilinearly.

Source: Ronneberger et al., U-Net (2015), in the form of common PyTorch code, which pads the smaller picture by a
difference of sizes: where height and width are open, an exporter writes that as a graph that computes pads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.studies.zoo.blocks import conv_norm


def _double(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(inner, outer), conv_norm(outer, outer))


class Up(nn.Module):
    """Upsample, pad to the size of the skip connection, join, convolve twice."""

    def __init__(self, inner: int, outer: int, bilinear: bool) -> None:
        super().__init__()
        transposed = nn.ConvTranspose2d(inner, inner, 2, 2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True) if bilinear else transposed
        self.join = _double(inner + outer, outer)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Of the size of `skip`."""
        x = self.up(x)
        rows, columns = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        x = functional.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        joined: Tensor = self.join(torch.cat([skip, x], dim=1))
        return joined


class UNet(nn.Module):
    """Two levels; scores of three classes at every pixel."""

    def __init__(self, bilinear: bool) -> None:
        super().__init__()
        self.top, self.middle, self.bottom = _double(3, 8), _double(8, 16), _double(16, 32)
        self.pool = nn.MaxPool2d(2)
        self.up1, self.up2 = Up(32, 16, bilinear), Up(16, 8, bilinear)
        self.scores = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, height, width)."""
        top = self.top(x)
        middle = self.middle(self.pool(top))
        bottom = self.bottom(self.pool(middle))
        scores: Tensor = self.scores(self.up2(self.up1(bottom, middle), top))
        return scores


def unet_transposed() -> UNet:
    """Upsampling is learned."""
    return UNet(bilinear=False)


def unet_bilinear() -> UNet:
    """Upsampling is bilinear with aligned corners."""
    return UNet(bilinear=True)
