"""A corrector: stages in a row, the identity when there is none."""

from collections.abc import Sequence

import torch
from torch import nn

from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage


class Corrector(nn.Module):
    """Stages applied one after the other to images (n, C, H, W)."""

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        super().__init__()
        self.stages = tuple(stages)
        # A tuple keeps the type; torch finds parameters only in what it registered itself.
        for index, stage in enumerate(stages):
            self.add_module(str(index), stage)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Correct images."""
        for stage in self.stages:
            x = stage.forward(x)
        return x

    def names(self) -> tuple[str, ...]:
        """The stages' names, in order."""
        return tuple(stage.name for stage in self.stages)

    def size(self) -> int:
        """How many numbers are fitted."""
        return sum(parameter.numel() for parameter in self.parameters())

    def write(self, graph: GraphWriter, x: str) -> str:
        """Add all stages to a graph behind tensor `x`; returns the name of the last output."""
        for stage in self.stages:
            x = stage.write(graph, x)
        return x
