"""Geometry: one affine warp, six numbers, bilinear.

Output pixel p takes its value from input position A p + b, in coordinates that run from -1 to 1 over the image's area.
What lies outside is the images' background where they have one, else the nearest pixel.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

GRID_SAMPLE_OPSET = 16


class Warp(Stage):
    """x(A p + b), with A = I + delta and b fitted."""

    name = "warp"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._shape = frame.shape
        self.delta = nn.Parameter(torch.zeros(2, 3))
        self._padding = "border" if frame.background is None else "zeros"
        background = torch.tensor(frame.background or (0.0,)).reshape(1, -1, 1, 1)
        self.register_buffer("background", background)
        self.background: torch.Tensor

    def matrix(self) -> torch.Tensor:
        """[A | b], (2, 3): first row x, second row y."""
        return torch.eye(2, 3, device=self.delta.device) + self.delta

    @torch.no_grad()
    def stretch(self, horizontal: float, vertical: float) -> None:
        """Start by reading `horizontal` and `vertical` times as far from the centre: 2 halves the picture's content."""
        self.delta[0, 0], self.delta[1, 1] = horizontal - 1.0, vertical - 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Warp images (n, C, H, W)."""
        grid = functional.affine_grid(self.matrix()[None], [1, *self._shape], align_corners=False)
        grid = grid.expand(len(x), -1, -1, -1)
        sampled = functional.grid_sample(
            x - self.background, grid, mode="bilinear", padding_mode=self._padding, align_corners=False
        )
        return sampled + self.background

    def write(self, graph: GraphWriter, x: str) -> str:
        """As GridSample, or, before opset 16, as four gathers with constant weights."""
        background = graph.constant(self.background.numpy().astype(np.float32))
        centred = graph.node("Sub", x, background)
        if graph.opset >= GRID_SAMPLE_OPSET:
            sampled = self._write_grid_sample(graph, centred)
        else:
            sampled = self._write_gathers(graph, centred)
        return graph.node("Add", sampled, background)

    def _write_grid_sample(self, graph: GraphWriter, x: str) -> str:
        _, height, width = self._shape
        with torch.no_grad():
            grid = functional.affine_grid(self.matrix()[None], [1, *self._shape], align_corners=False).numpy()
        count = graph.node(
            "Slice", graph.node("Shape", x), graph.constant(np.array([0])), graph.constant(np.array([1]))
        )
        shape = graph.node("Concat", count, graph.constant(np.array([height, width, 2])), axis=0)
        grids = graph.node("Expand", graph.constant(grid.astype(np.float32)), shape)
        mode = "linear" if graph.opset >= 20 else "bilinear"
        return graph.node("GridSample", x, grids, mode=mode, padding_mode=self._padding, align_corners=0)

    def _write_gathers(self, graph: GraphWriter, x: str) -> str:
        channels, height, width = self._shape
        flat = graph.node("Reshape", x, graph.constant(np.array([-1, channels, height * width])))
        terms = [
            graph.node("Mul", graph.node("Gather", flat, graph.constant(index), axis=2), graph.constant(weight))
            for index, weight in self._neighbours()
        ]
        total = terms[0]
        for term in terms[1:]:
            total = graph.node("Add", total, term)
        return graph.node("Reshape", total, graph.constant(np.array([-1, channels, height, width])))

    def _neighbours(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each of the four corners around a position: flat pixel index and weight, two arrays (H W,)."""
        _, height, width = self._shape
        with torch.no_grad():
            grid = functional.affine_grid(self.matrix()[None], [1, *self._shape], align_corners=False)[0].numpy()
        x = ((grid[..., 0].astype(np.float64) + 1) * width - 1) / 2
        y = ((grid[..., 1].astype(np.float64) + 1) * height - 1) / 2
        if self._padding == "border":
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        corners = []
        for row in (np.floor(y), np.floor(y) + 1):
            for column in (np.floor(x), np.floor(x) + 1):
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                weight = (1 - np.abs(y - row)) * (1 - np.abs(x - column)) * inside
                index = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
                corners.append((index.ravel().astype(np.int64), weight.ravel().astype(np.float32)))
        return corners
