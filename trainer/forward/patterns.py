"""A smooth bias image: what lies on every picture alike and changes slowly, as shading does.

x + s sum over u, v < WAVES of theta_cuv cos(pi u (2 y + 1) / 2 H) cos(pi v (2 x + 1) / 2 W), s the input's span: the
slowest waves of a cosine transform. It shows no picture, whatever it is fitted to.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.contract.statistics import Floats
from trainer.forward.tap_graph import Planes
from trainer.frame import Frame

if TYPE_CHECKING:
    from trainer.stages import Stage

WAVES = 8
LARGEST = 0.5
"""Of each number, in spans."""
STEP = 0.01
"""As in `kernels`."""


@dataclass(frozen=True)
class Pattern:
    """Bias images of so many waves in either direction, theta in the order (channel, down, right)."""

    frame: Frame
    name: str = "bias image"
    place: int = 2

    @property
    def size(self) -> int:
        """How many numbers theta has."""
        down, right = self._waves()
        return self.frame.shape[0] * len(down) * len(right)

    @property
    def bound(self) -> Floats:
        """Largest size of each number."""
        return np.full(self.size, LARGEST)

    @property
    def step(self) -> Floats:
        """How much of each number shows what it does."""
        return np.full(self.size, STEP)

    def apply(self, theta: Floats, planes: Planes) -> Planes:
        """Planes (n, C, H, W), the image added."""
        return np.asarray(planes + self.image(theta).astype(np.float32))

    def image(self, theta: Floats) -> Floats:
        """The image (C, H, W) that is added."""
        down, right = self._waves()
        share = np.einsum("cuv,uy,vx->cyx", theta.reshape(-1, len(down), len(right)), down, right)
        return np.asarray(share * np.asarray(self.frame.span)[:, None, None])

    def closest(self, image: Floats) -> Floats:
        """Theta of the image that is closest to this one (C, H, W), within the bounds."""
        down, right = (waves / np.sum(np.square(waves), axis=1, keepdims=True) for waves in self._waves())
        share = image / np.asarray(self.frame.span)[:, None, None]
        return np.asarray(np.clip(np.einsum("cyx,uy,vx->cuv", share, down, right).ravel(), -LARGEST, LARGEST))

    def to_stage(self, theta: Floats) -> "Stage":
        """As the bias of a `Deconvolution` whose kernel is the unit impulse."""
        import torch

        from trainer.stages.deconvolution import Deconvolution

        stage = Deconvolution(self.frame)
        share = self.image(theta) / np.asarray(self.frame.span)[:, None, None]
        with torch.no_grad():
            stage.bias.copy_(torch.from_numpy(share))
        return stage

    def _waves(self) -> tuple[Floats, Floats]:
        """The waves down (U, H) and right (V, W)."""
        _, height, width = self.frame.shape
        return _cosines(height), _cosines(width)


def _cosines(side: int) -> Floats:
    rates = np.arange(min(WAVES, side))
    return np.asarray(np.cos(np.pi * rates[:, None] * (2 * np.arange(side) + 1) / (2 * side)))
