"""A corrector: stages in a row, the identity when there is none; and whose images they are for."""

from collections.abc import Sequence

import torch
from torch import nn

from trainer.onnx_writer import GraphWriter
from trainer.recognition import Recogniser
from trainer.stages import Stage

RECOGNITION = "recognition"


class Corrector(nn.Module):
    """Stages applied one after the other to images (n, C, H, W).

    Args:
        recogniser: images that it takes for the source's are left as they are; None corrects all.
    """

    def __init__(self, stages: Sequence[Stage] = (), recogniser: Recogniser | None = None) -> None:
        super().__init__()
        self.stages = tuple(stages)
        self.recogniser = recogniser
        # A tuple keeps the type; torch finds parameters only in what it registered itself.
        for index, stage in enumerate(stages):
            self.add_module(str(index), stage)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Correct images."""
        corrected = x
        for stage in self.stages:
            corrected = stage.forward(corrected)
        if self.recogniser is None:
            return corrected
        return torch.where(self.recogniser(x)[:, None, None, None] > 0, corrected, x)

    def names(self) -> tuple[str, ...]:
        """The stages' names, in order, behind RECOGNITION where there is a recogniser."""
        stages = tuple(stage.name for stage in self.stages)
        return stages if self.recogniser is None else (RECOGNITION, *stages)

    def size(self) -> int:
        """How many numbers are fitted."""
        return sum(parameter.numel() for parameter in self.parameters())

    def write(self, graph: GraphWriter, x: str) -> str:
        """Add all stages to a graph behind tensor `x`; returns the name of the last output."""
        corrected = x
        for stage in self.stages:
            corrected = stage.write(graph, corrected)
        return corrected if self.recogniser is None else self.recogniser.write_choice(graph, x, corrected)
