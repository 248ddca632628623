"""The affine warp of `trainer.stages.warp` in numpy: six numbers, bilinear, coordinates from -1 to 1 over the area."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Floats
from trainer.forward.tap_graph import Planes
from trainer.frame import Frame

if TYPE_CHECKING:
    from trainer.stages import Stage

LARGEST = 0.8
"""Of each number: a picture is read at most 1.8 times as far from its centre, and moved by at most 0.4 of its side."""

SCALES = (0.65, 0.8, 1.0, 1.25, 1.55)
"""Stretches tried in either direction before a warp is fitted: the loss has a valley at each of several sizes."""

Corner = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class AffineWarp:
    """x(A p + b) with [A | b] = [I | 0] + theta, rows x and y; outside lies the background, or the nearest pixel."""

    frame: Frame
    name: str = "affine warp"
    place: int = 0
    size: int = 6

    @property
    def bound(self) -> Floats:
        """Largest size of each number."""
        return np.full(self.size, LARGEST)

    @property
    def step(self) -> Floats:
        """What moves the picture's edges by a pixel: a smaller part of one blurs as much as it moves."""
        _, height, width = self.frame.shape
        return np.repeat([2 / width, 2 / height], 3)

    def stretched(self, horizontal: float, vertical: float) -> Floats:
        """Theta that reads so many times as far from the centre, and moves by half a pixel either way.

        On the grid of pixels nothing is blurred, and beside it everything is: a search that starts on it stays there.
        """
        _, height, width = self.frame.shape
        return np.array([horizontal - 1.0, 0.0, 1.0 / width, 0.0, vertical - 1.0, 1.0 / height])

    def apply(self, theta: Floats, planes: Planes) -> Planes:
        """Planes (n, C, H, W), warped."""
        background = np.asarray(self.frame.background or (0.0,), dtype=np.float32)[:, None]
        flat = planes.reshape(*planes.shape[:2], -1) - background
        total = np.zeros_like(flat)
        for index, weight in self._corners(theta):
            total += flat[:, :, index] * weight
        return np.asarray((total + background).reshape(planes.shape))

    def to_stage(self, theta: Floats) -> "Stage":
        """As a `Warp`."""
        import torch

        from trainer.stages.warp import Warp

        stage = Warp(self.frame)
        with torch.no_grad():
            stage.delta.copy_(torch.from_numpy(theta.reshape(2, 3)))
        return stage

    def _corners(self, theta: Floats) -> list[Corner]:
        """For each of the four pixels around a position: its flat index, and its weight, 0 outside the picture."""
        _, height, width = self.frame.shape
        matrix = np.eye(2, 3) + theta.reshape(2, 3)
        y, x = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
        at = np.stack([np.tile(x, height), np.repeat(y, width), np.ones(height * width)])
        read_x, read_y = ((row @ at + 1) * side / 2 - 0.5 for row, side in zip(matrix, (width, height), strict=True))
        if self.frame.background is None:
            read_x, read_y = np.clip(read_x, 0, width - 1), np.clip(read_y, 0, height - 1)
        corners = []
        for row in (np.floor(read_y), np.floor(read_y) + 1):
            for column in (np.floor(read_x), np.floor(read_x) + 1):
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                weight = (1 - np.abs(read_y - row)) * (1 - np.abs(read_x - column)) * inside
                index = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
                corners.append((index.astype(np.int64), weight.astype(np.float32)))
        return corners
