"""A first layer that is not learnt: it whitens small patches of the pictures.

Neighbouring pixels of a photograph nearly agree, so the first steps of a training go into undoing that. Given away, a
small net reaches the same accuracy in about half the epochs.

Source: Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU (2024), section 3.2, after Page (2019).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_FLOOR = 5e-4
"""Added to the variance of a direction, in squared pixels of unit deviation: JPEG leaves some directions empty."""


def whitening(pictures: Tensor, kernel: int = 2) -> nn.Conv2d:
    """Convolution to 2 C k^2 channels: the patches' principal directions by their deviation, and their negatives.

    Args:
        pictures: (n, C, H, W), a few thousand are enough.
        kernel: side k of the patches; pictures shrink by k - 1.
    """
    channels = pictures.shape[1]
    patches = functional.unfold(pictures, kernel).transpose(1, 2).reshape(-1, channels * kernel**2)
    variances, directions = torch.linalg.eigh(torch.cov(patches.T.double()))
    rows = (directions / (variances + _FLOOR).sqrt()).T.float().reshape(-1, channels, kernel, kernel)
    layer = nn.Conv2d(channels, 2 * len(rows), kernel, bias=False)
    layer.weight = nn.Parameter(torch.cat([rows, -rows]), requires_grad=False)
    return layer
