"""Linear families: parts of one small convolution over all channels about the background, and a bias for each.

out = m + (x - m) * (1 + k) + s b with k zero where the family has no number, s the input's span and m its background;
edges are repeated outwards. That is `trainer.stages.filter.Filter`, whose kernel is larger. They are nested: what a
smaller family has found is a start of a larger one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats
from trainer.forward.tap_graph import Planes
from trainer.frame import Frame

if TYPE_CHECKING:
    from trainer.stages import Stage

SIZE = 3
LARGEST_WEIGHT, LARGEST_BIAS = 5.0, 3.0
"""How far a number of the kernel may go from the identity's, and the bias from 0 in spans."""
STEP = 0.01
"""Large beside the roundings of half precision and of quanta, small beside 1."""


@dataclass(frozen=True, eq=False)
class Linear:
    """One such family.

    Attributes:
        fitted: (C, C, SIZE, SIZE), which numbers of the kernel theta holds, in their order; then a bias a channel.
    """

    name: str
    frame: Frame
    fitted: NDArray[np.bool_]
    place: int = 1

    @property
    def size(self) -> int:
        """How many numbers theta has."""
        return int(self.fitted.sum()) + self.frame.shape[0]

    @property
    def bound(self) -> Floats:
        """Largest size of each number."""
        channels = self.frame.shape[0]
        return np.repeat([LARGEST_WEIGHT, LARGEST_BIAS], [self.size - channels, channels])

    def holds(self, other: "Linear") -> bool:
        """Whether every corrector of `other` is one of this family."""
        return bool((self.fitted | ~other.fitted).all())

    def theta(self, kernel: Floats, bias: Floats) -> Floats:
        """Theta of the corrector with this kernel (C, C, SIZE, SIZE) and bias (C,), within the bounds."""
        change = (kernel - _impulse(self.frame.shape[0]))[self.fitted]
        return np.asarray(np.clip(np.concatenate([change, bias / self.frame.span]), -self.bound, self.bound))

    def parts(self, theta: Floats) -> tuple[Floats, Floats]:
        """The kernel (C, C, SIZE, SIZE) and bias (C,) of a theta."""
        channels = self.frame.shape[0]
        kernel = _impulse(channels)
        kernel[self.fitted] += theta[:-channels]
        return kernel, theta[-channels:] * np.asarray(self.frame.span)

    @property
    def step(self) -> Floats:
        """How much of each number shows what it does."""
        return np.full(self.size, STEP)

    def apply(self, theta: Floats, planes: Planes) -> Planes:
        """Planes (n, C, H, W), filtered."""
        kernel, bias = self.parts(theta)
        background = _background(self.frame)
        height, width = planes.shape[2:]
        margin = SIZE // 2
        padded = np.pad(planes - background, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge")
        out = np.empty_like(planes)
        out[:] = background + bias.astype(np.float32)[:, None, None]
        for to, of, y, x in zip(*np.nonzero(kernel), strict=True):
            out[:, to] += np.float32(kernel[to, of, y, x]) * padded[:, of, y : y + height, x : x + width]
        return out

    def to_stage(self, theta: Floats) -> "Stage":
        """As a `Filter`, its kernel 0 around this one."""
        import torch

        from trainer.stages.filter import SIZE as LARGER
        from trainer.stages.filter import Filter

        kernel, bias = self.parts(theta)
        stage = Filter(self.frame)
        rim = (LARGER - SIZE) // 2
        with torch.no_grad():
            stage.kernel.copy_(torch.from_numpy(np.pad(kernel, ((0, 0), (0, 0), (rim, rim), (rim, rim)))))
            stage.bias.copy_(torch.from_numpy(bias))
        return stage


def channel_affine(frame: Frame) -> Linear:
    """A gain and a bias for each channel, 2 C numbers."""
    return Linear("channel affine", frame, _diagonal(frame) & _middle())


def colour_matrix(frame: Frame) -> Linear:
    """A matrix and a bias, C C + C numbers."""
    return Linear("colour matrix", frame, np.broadcast_to(_middle(), _shape(frame)))


def depthwise(frame: Frame) -> Linear:
    """A kernel for each channel, and a bias."""
    return Linear("depthwise kernel", frame, np.broadcast_to(_diagonal(frame), _shape(frame)))


def full(frame: Frame) -> Linear:
    """A kernel from each channel to each, and a bias."""
    return Linear("full kernel", frame, np.ones(_shape(frame), dtype=bool))


def pointwise(family: Linear, matrix: Floats, offset: Floats) -> Floats:
    """Theta of matrix (C, C) x + offset (C,), as far as the family holds it."""
    kernel = np.zeros(_shape(family.frame))
    kernel[:, :, SIZE // 2, SIZE // 2] = matrix
    background = _background(family.frame).ravel().astype(np.float64)
    return family.theta(kernel, offset + matrix @ background - background)


def _shape(frame: Frame) -> tuple[int, int, int, int]:
    return (frame.shape[0], frame.shape[0], SIZE, SIZE)


def _middle() -> NDArray[np.bool_]:
    middle = np.zeros((1, 1, SIZE, SIZE), dtype=bool)
    middle[..., SIZE // 2, SIZE // 2] = True
    return middle


def _diagonal(frame: Frame) -> NDArray[np.bool_]:
    return np.eye(frame.shape[0], dtype=bool)[:, :, None, None]


def _impulse(channels: int) -> Floats:
    return np.eye(channels)[:, :, None, None] * _middle()


def _background(frame: Frame) -> NDArray[np.float32]:
    return np.asarray(frame.background or (0.0,) * frame.shape[0], dtype=np.float32)[:, None, None]
