"""Whether an image is one of the source: those are left as they are, bit for bit.

A corrector that is fitted to a target moves source images, too, where a device returns to the source. What tells both
apart is mostly plain to see, so a network of two convolutions looks at every image, and only what does not look like
the source is corrected. A hard choice: half of a warp beside half of an image is neither.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from trainer.frame import Frame
from trainer.minibatch import drawn
from trainer.onnx_writer import GraphWriter

WIDTHS = (8, 16)
GRID = 4
"""What the convolutions have found is averaged over so many fields a side, or up to twice as many less one: where it
was counts."""


class Recogniser(nn.Module):
    """Score (n,) of images (n, C, H, W): above 0 where an image looks like the target rather than like the source."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        channels, height, width = frame.shape
        self.first = nn.Conv2d(channels, WIDTHS[0], 3, stride=2, padding=1)
        self.second = nn.Conv2d(WIDTHS[0], WIDTHS[1], 3, stride=2, padding=1)
        sides = [-(-side // 4) for side in (height, width)]
        self._kernel = [max(1, side // GRID) for side in sides]
        fields = [side // kernel for side, kernel in zip(sides, self._kernel, strict=True)]
        self.last = nn.Linear(WIDTHS[1] * fields[0] * fields[1], 1)
        self.register_buffer("scale", (1.0 / torch.tensor(frame.span)).reshape(1, -1, 1, 1))
        self.scale: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n,)."""
        hidden = functional.relu(self.second(functional.relu(self.first(x * self.scale))))
        score: torch.Tensor = self.last(functional.avg_pool2d(hidden, self._kernel, self._kernel).flatten(1))
        return score.squeeze(1)

    def write(self, graph: GraphWriter, x: str) -> str:
        """Add the scores (n, 1) to a graph, as Mul, Conv, Relu, AveragePool, Flatten and Gemm."""
        hidden = graph.node("Mul", x, graph.constant(self.scale.numpy()))
        for layer in (self.first, self.second):
            weights = _constants(graph, layer)
            hidden = graph.node("Relu", graph.node("Conv", hidden, *weights, pads=[1, 1, 1, 1], strides=[2, 2]))
        pooled = graph.node("AveragePool", hidden, kernel_shape=self._kernel, strides=self._kernel)
        return graph.node("Gemm", graph.node("Flatten", pooled), *_constants(graph, self.last), transB=1)

    def write_choice(self, graph: GraphWriter, x: str, corrected: str) -> str:
        """Add nodes that take `corrected` for images whose score is above 0, else `x`; returns the output's name."""
        above = graph.node("Greater", self.write(graph, x), graph.constant(np.zeros(1, np.float32)))
        shape = graph.constant(np.array([-1, 1, 1, 1]))
        return graph.node("Where", graph.node("Reshape", above, shape), corrected, x)


@dataclass(frozen=True)
class Recognition:
    """How a recogniser is fitted.

    Attributes:
        steps, batch: Adam's steps, and images of either kind in one.
        rate, decay: its step size, which falls to 0 along a cosine, and its weight decay.
    """

    steps: int = 300
    batch: int = 128
    rate: float = 3e-3
    decay: float = 1e-3


def fit_recogniser(
    frame: Frame, source: torch.Tensor, target: torch.Tensor, config: Recognition, draw: torch.Generator
) -> Recogniser:
    """By cross-entropy on as many images of either kind a step, both planes (n, C, H, W)."""
    recogniser = Recogniser(frame).to(target.device)
    optimiser = torch.optim.AdamW(recogniser.parameters(), lr=config.rate, weight_decay=config.decay)
    schedule = CosineAnnealingLR(optimiser, config.steps)
    truth = torch.tensor([0.0, 1.0], device=target.device).repeat_interleave(config.batch)
    for _ in range(config.steps):
        images = torch.cat([drawn(part, config.batch, draw) for part in (source, target)])
        loss = functional.binary_cross_entropy_with_logits(recogniser(images), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    return recogniser


def _constants(graph: GraphWriter, layer: nn.Conv2d | nn.Linear) -> list[str]:
    assert layer.bias is not None
    return [graph.constant(part.detach().cpu().numpy()) for part in (layer.weight, layer.bias)]
