"""Linear filter: one convolution over all channels, and a bias for each."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

SIZE = 5


class Filter(Stage):
    """m + (x - m) * k + b; the kernel (C, C, SIZE, SIZE) starts as the unit impulse, edges are repeated outwards.

    m is the images' background: a change of the kernel then moves the strokes and not the whole picture, which the bias
    would have to follow.
    """

    name = "filter"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        channels = frame.shape[0]
        kernel = torch.zeros(channels, channels, SIZE, SIZE)
        kernel[range(channels), range(channels), SIZE // 2, SIZE // 2] = 1.0
        self.kernel = nn.Parameter(kernel)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("background", torch.tensor(frame.background or (0.0,) * channels).reshape(1, -1, 1, 1))
        self.background: torch.Tensor

    @torch.no_grad()
    def scale(self, gain: torch.Tensor, offset: torch.Tensor) -> None:
        """Start from `gain * x + offset` per channel, two tensors (C,)."""
        self.kernel.mul_(gain.reshape(-1, 1, 1, 1))
        self.bias.copy_(offset + (gain - 1) * self.background.flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter images (n, C, H, W)."""
        margin = SIZE // 2
        padded = functional.pad(x - self.background, [margin] * 4, mode="replicate")
        return functional.conv2d(padded, self.kernel, self.bias) + self.background

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Pad and Conv, the background folded into the bias."""
        margin = SIZE // 2
        pads = graph.constant(np.array([0, 0, margin, margin] * 2))
        padded = graph.node("Pad", x, pads, mode="edge")
        kernel, background = self.kernel.detach(), self.background.flatten()
        bias = self.bias.detach() + background - kernel.sum(dim=(2, 3)) @ background
        return graph.node("Conv", padded, graph.constant(kernel.numpy()), graph.constant(bias.numpy()))
