"""Telling the four groups apart: by features, and by pixels of which only the values are left."""

import torch
from torch import Tensor, nn

GROUPS = 4


def feature_discriminator(features: int, hidden: tuple[int, ...], *, dropped: float = 0.5) -> nn.Sequential:
    """Scores (n, GROUPS) of features (n, features): linear layers with a ReLU and dropout between them."""
    sizes = (features, *hidden)
    layers: list[nn.Module] = []
    for inner, outer in zip(sizes, hidden, strict=False):
        layers += [nn.Linear(inner, outer), nn.ReLU(), nn.Dropout(dropped)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], GROUPS))


class PixelDiscriminator(nn.Module):
    """Scores (n, GROUPS) of images by one square patch each, at the same place and shuffled the same way.

    Place and order are drawn anew with every call: a discriminator that knew where it looks would learn the training
    images by heart. Places are those of a grid over the whole image; the authors' code draws from the top rows alone.

    Args:
        patch: side of the square, at most the image's.
    """

    def __init__(self, channels: int, patch: int, hidden: int) -> None:
        super().__init__()
        self._patch = patch
        self.net = nn.Sequential(nn.Linear(channels * patch * patch, hidden), nn.ReLU(), nn.Linear(hidden, GROUPS))

    def forward(self, images: Tensor, draw: torch.Generator) -> Tensor:
        """Scores of images (n, C, H, W)."""
        patch = self._patch
        row, column = (_place(side, patch, draw) for side in images.shape[2:])
        order = torch.randperm(patch * patch, generator=draw).to(images.device)
        pixels = images[:, :, row : row + patch, column : column + patch].flatten(2)[:, :, order]
        scores: Tensor = self.net(pixels.flatten(1))
        return scores


def _place(side: int, patch: int, draw: torch.Generator) -> int:
    """Where a patch begins: one of as many places as cover the side, the last at its end."""
    places = -(-side // patch)
    chosen = int(torch.randint(places, (), generator=draw))
    return round(chosen * (side - patch) / max(1, places - 1))
