"""The stages of a corrector, one file each: warp, filter, tone, deconvolution, residual; the paper's reconstruction.

A stage is a torch module that keeps the shape (n, C, H, W), is the identity at its start unless it says that it is not,
and can write itself as ONNX.
To add one: a file with a subclass of `Stage`, and its name in the methods that are to use it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from trainer.onnx_writer import GraphWriter


class Stage(nn.Module, ABC):
    """What a corrector is made of."""

    name: ClassVar[str]
    starts_as_identity: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (n, C, H, W) in, images of the same shape out."""

    @abstractmethod
    def write(self, graph: GraphWriter, x: str) -> str:
        """Add this stage to a graph behind tensor `x`; returns the name of its output."""
