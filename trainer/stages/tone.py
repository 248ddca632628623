"""Tone: one piecewise linear curve for each channel, as gamma, exposure and contrast need."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

KNOTS = 12


class Tone(Stage):
    """a_c x + s_c b_c + sum over k of w_ck max(0, x - t_ck) for each channel c; it starts with a = 1, b = w = 0.

    The knots t stay where they are put; a, b and w are fitted. s is the input's span: b has no unit.
    """

    name = "tone"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        channels = frame.shape[0]
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.bends = nn.Parameter(torch.zeros(channels, KNOTS))
        self.knots: torch.Tensor
        self.span: torch.Tensor
        self.register_buffer("span", torch.tensor(frame.span))
        self.register_buffer("knots", torch.linspace(0, 1, KNOTS) * self.span[:, None])

    @torch.no_grad()
    def through(self, knots: NDArray[np.floating], values: NDArray[np.floating]) -> None:
        """Start as the curve that takes each of the `knots` (C, KNOTS), rising, to its value (C, KNOTS)."""
        slopes = np.diff(values, axis=1) / np.diff(knots, axis=1)
        bends = np.pad(np.diff(slopes, axis=1), ((0, 0), (1, 1)))
        self.knots.copy_(torch.from_numpy(knots))
        self.gain.copy_(torch.from_numpy(slopes[:, 0]))
        self.bias.copy_(torch.from_numpy(values[:, 0] - slopes[:, 0] * knots[:, 0]) / self.span)
        self.bends.copy_(torch.from_numpy(bends))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Bend images (n, C, H, W)."""
        above = torch.relu(x[:, :, None] - self.knots[:, :, None, None])
        bent = (above * self.bends[:, :, None, None]).sum(dim=2)
        return x * self.gain[:, None, None] + (self.span * self.bias)[:, None, None] + bent

    def write(self, graph: GraphWriter, x: str) -> str:
        """As two grouped convolutions with a Relu between, beside Mul and Add."""
        channels = len(self.gain)
        parts = (self.gain, self.span * self.bias, self.bends, self.knots)
        gain, bias, bends, knots = (part.detach().numpy() for part in parts)
        ones = np.ones((channels * KNOTS, 1, 1, 1), dtype=np.float32)
        lifted = graph.node("Conv", x, graph.constant(ones), graph.constant(-knots.ravel()), group=channels)
        weights = graph.constant(bends.reshape(channels, KNOTS, 1, 1))
        bent = graph.node("Conv", graph.node("Relu", lifted), weights, graph.constant(bias), group=channels)
        straight = graph.node("Mul", x, graph.constant(gain.reshape(-1, 1, 1)))
        return graph.node("Add", straight, bent)
