"""The paper's perturbation: delta(x) = K2 * (K1 * (x + kappa N)), one draw for all images of a run.

N is one fixed pattern of the image's shape. K1 and K2 are full 3x3 convolutions over all channels: the identity plus
kappa times a normal number on every weight, and a bias of kappa times a normal number; borders are reflected. Images
are normalised before and never clamped after. The paper names neither the biases nor that the pattern is fixed; both
are in its authors' code. There each draw depends on whether a checkpoint was on the disk; here it has a generator of
its own.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

SIZE = 3


class Distortion(nn.Module):
    """One draw of the perturbation.

    Attributes:
        pattern: (C, H, W). kernels: two of (C, C, 3, 3), output channel first. biases: two of (C,).
    """

    def __init__(
        self, pattern: NDArray[np.float32], kernels: list[NDArray[np.float32]], biases: list[NDArray[np.float32]]
    ) -> None:
        super().__init__()
        self.pattern: Tensor
        self.register_buffer("pattern", torch.from_numpy(pattern))
        for index, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            self.register_buffer(f"kernel{index}", torch.from_numpy(kernel))
            self.register_buffer(f"bias{index}", torch.from_numpy(bias))

    @classmethod
    def draw(cls, shape: tuple[int, int, int], kappa: float, seed: int) -> Self:
        """A draw for images of `shape` (C, H, W); the same seed has the same shape of noise at every kappa."""
        random = np.random.default_rng(seed)
        channels = shape[0]

        def noise(*sides: int) -> NDArray[np.float32]:
            return np.asarray(kappa * random.standard_normal(sides), dtype=np.float32)

        pattern = noise(*shape)
        kernels = [noise(channels, channels, SIZE, SIZE) for _ in range(2)]
        for kernel in kernels:
            kernel[range(channels), range(channels), SIZE // 2, SIZE // 2] += 1.0
        return cls(pattern, kernels, [noise(channels) for _ in range(2)])

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Distort normalised images (n, C, H, W)."""
        x = images + self.pattern
        for index in range(2):
            padded = functional.pad(x, [SIZE // 2] * 4, mode="reflect")
            x = functional.conv2d(padded, self.get_buffer(f"kernel{index}"), self.get_buffer(f"bias{index}"))
        return x
