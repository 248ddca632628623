"""Bounded residual network: what no warp and no filter can express, within a stated distance of its input."""

import torch
from torch import nn

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

WIDTH = 16
BOUND = 0.5
"""Largest change of a value, as a share of the input's span."""


class Residual(Stage):
    """x + BOUND * span * tanh(g(x)), with g three 3x3 convolutions, the last starting at zero; no batch statistics."""

    name = "residual"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        channels = frame.shape[0]
        self.body = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, channels, 3, padding=1),
        )
        last = self.body[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("bound", BOUND * torch.tensor(frame.span).reshape(1, -1, 1, 1))
        self.bound: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Correct images (n, C, H, W)."""
        change: torch.Tensor = torch.tanh(self.body(x))
        return x + self.bound * change

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Conv, Relu, Tanh, Mul and Add."""
        hidden = x
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                weights = (layer.weight.detach().numpy(), layer.bias.detach().numpy())
                hidden = graph.node("Conv", hidden, *map(graph.constant, weights), pads=[1, 1, 1, 1])
            else:
                hidden = graph.node("Relu", hidden)
        bounded = graph.node("Mul", graph.node("Tanh", hidden), graph.constant(self.bound.numpy()))
        return graph.node("Add", x, bounded)
