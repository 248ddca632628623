"""SqueezeNet: fire modules, max pools that round up, and a classifier that is a convolution.

Source: Iandola et al., SqueezeNet (2016), version 1.1.
"""

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """Squeeze with 1 x 1, expand with 1 x 1 and 3 x 3 side by side."""

    def __init__(self, inner: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inner, squeezed, 1)
        self.narrow = nn.Conv2d(squeezed, expanded, 1)
        self.broad = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Both expansions, one after the other."""
        squeezed = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.narrow(squeezed)), torch.relu(self.broad(squeezed))], dim=1)


def squeezenet() -> nn.Sequential:
    """Stem without padding, four fire modules, classes as channels averaged over the picture."""
    pool = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3)]
    stem = [nn.Conv2d(3, 16, 3, 2), nn.ReLU(), pool[0]]
    fires = [Fire(16, 4, 16), Fire(32, 4, 16), pool[1], Fire(32, 8, 24), pool[2], Fire(48, 8, 24)]
    top = [nn.Dropout(0.5), nn.Conv2d(48, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*stem, *fires, *top)
