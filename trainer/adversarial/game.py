"""The rules: what discriminators learn from the four groups, and what a corrector loses when they see through it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adversarial.discriminators import GROUPS, PixelDiscriminator

SOURCE = 0
"""Of the groups, in this order: source, target, corrected target, corrected source."""


class Seen(NamedTuple):
    """Some images as the discriminators see them: features (n, F) and the images (n, C, H, W) themselves."""

    features: Tensor
    images: Tensor

    def detached(self) -> "Seen":
        """The same without a way back."""
        return Seen(self.features.detach(), self.images.detach())


class Game:
    """Two discriminators and the optimiser of both.

    Args:
        draw: of patches and their order.
    """

    def __init__(
        self,
        by_features: nn.Module,
        by_pixels: PixelDiscriminator,
        *,
        rate: float,
        draw: torch.Generator,
        betas: tuple[float, float] = (0.9, 0.999),
        decay: float = 0.0,
    ) -> None:
        self._by_features, self._by_pixels, self._draw = by_features.train(), by_pixels.train(), draw
        parameters = [*by_features.parameters(), *by_pixels.parameters()]
        self._optimiser = torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=decay)

    def learn(self, groups: tuple[Seen, Seen, Seen, Seen]) -> None:
        """One step of both discriminators, on as many images of every group, in the order of the groups."""
        count = len(groups[0].images)
        truth = torch.arange(GROUPS, device=groups[0].images.device).repeat_interleave(count)
        found = [group.detached() for group in groups]
        by_features = self._by_features(torch.cat([group.features for group in found]))
        by_pixels = self._by_pixels(torch.cat([group.images for group in found]), self._draw)
        loss = functional.cross_entropy(by_features, truth) + functional.cross_entropy(by_pixels, truth)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimiser.step()

    def fooling(self, corrected: Seen) -> tuple[Tensor, Tensor]:
        """Cross-entropies of both discriminators, features first, with corrected images called the source's."""
        truth = torch.full((len(corrected.images),), SOURCE, device=corrected.images.device)
        return (
            functional.cross_entropy(self._by_features(corrected.features), truth),
            functional.cross_entropy(self._by_pixels(corrected.images, self._draw), truth),
        )
