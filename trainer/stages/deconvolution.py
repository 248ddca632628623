"""Deconvolution: one wide convolution over all channels about a mean image, and a bias.

It undoes a fixed blur, echo or mixture of the channels, and a pattern that lies on every image: fixed-pattern noise,
dust, shading.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

SIZE = 9


class Deconvolution(Stage):
    """(x - m) * k + w + s b; borders are reflected. It starts with m = w = b = 0 and k the unit impulse.

    m is the mean image of what is corrected and w that of what it should be, so that the means agree whatever the
    kernel. The kernel is k0 + s t A with t fitted: with A a whitening of the images' patches, every number of t moves
    the output by the same amount, where numbers of k themselves would differ by the ratio of the spectrum's extremes. s
    is the input's span: t and b have no unit.
    """

    name = "deconvolution"

    def __init__(self, frame: Frame, *, pattern: bool = True) -> None:
        """Make one for images of `frame`; without `pattern`, b is one number for each channel."""
        super().__init__()
        channels, height, width = frame.shape
        self.size = kernel_size(height, width)
        inputs = channels * self.size**2
        impulse = torch.zeros(channels, channels, self.size, self.size)
        impulse[range(channels), range(channels), self.size // 2, self.size // 2] = 1.0
        self.weights = nn.Parameter(torch.zeros(channels, inputs))
        self.bias = nn.Parameter(torch.zeros(frame.shape if pattern else (channels, 1, 1)))
        self.mean: torch.Tensor
        self.wanted: torch.Tensor
        self.start: torch.Tensor
        self.whitening: torch.Tensor
        self.span: torch.Tensor
        self.register_buffer("mean", torch.zeros(frame.shape))
        self.register_buffer("wanted", torch.zeros(frame.shape))
        self.register_buffer("start", impulse)
        self.register_buffer("whitening", torch.eye(inputs))
        self.register_buffer("span", torch.tensor(frame.span)[:, None])

    @torch.no_grad()
    def begin(
        self,
        *,
        mean: NDArray[np.floating],
        wanted: NDArray[np.floating],
        kernel: NDArray[np.floating],
        whitening: NDArray[np.floating],
    ) -> None:
        """Start from mean images (C, H, W) or (C, 1, 1), k0 (C, C, size, size) and A (C size^2, C size^2)."""
        for name, value in (("mean", mean), ("wanted", wanted), ("start", kernel), ("whitening", whitening)):
            # A view where it can be one: many starts have all but the kernel in common.
            given = torch.from_numpy(np.asarray(value, dtype=np.float32))
            setattr(self, name, given.expand(getattr(self, name).shape))

    def kernel(self) -> torch.Tensor:
        """The kernel (C, C, size, size)."""
        return self.start + (self.span * self.weights @ self.whitening).reshape(self.start.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Deconvolve images (n, C, H, W)."""
        return self._convolved(x - self.mean) + self._level()

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Pad, Conv and Add, everything constant folded into one image."""
        with torch.no_grad():
            kernel = self.kernel().numpy()
            image = (self._level() - self._convolved(self.mean[None])[0]).numpy()
        margin = self.size // 2
        padded = graph.node("Pad", x, graph.constant(np.array([0, 0, margin, margin] * 2)), mode="reflect")
        filtered = graph.node("Conv", padded, graph.constant(kernel))
        return graph.node("Add", filtered, graph.constant(image))

    def _level(self) -> torch.Tensor:
        return self.wanted + self.span[:, :, None] * self.bias

    def _convolved(self, x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x, [self.size // 2] * 4, mode="reflect")
        return functional.conv2d(padded, self.kernel())


def kernel_size(height: int, width: int) -> int:
    """SIZE, or the largest odd size that fits into the image."""
    return min(SIZE, min(height, width) - 1 + min(height, width) % 2)
