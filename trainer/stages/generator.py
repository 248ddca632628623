"""Bounded generator: a residual network that also sees the image at half its size, within a stated distance of it.

Down- and up-sampling with a skip connection, after the generator of Ye et al. (2020), without normalisation: what comes
out for an image depends on that image alone, and its brightness and contrast are not lost on the way.
"""

import torch
from torch import nn
from torch.nn import functional

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter, cropped
from trainer.stages import Stage

WIDTH = 12
BLOCKS = 2
BOUND = 0.5


class Generator(Stage):
    """x + bound * span * tanh(g(x)), whose last convolution starts at zero.

    g: convolution to `width` channels, one with stride 2 to twice as many, `blocks` residual blocks, a transposed one
    back, the sum with what was there before, and the last convolution.

    Args:
        bound: largest change of a value, as a share of the input's span (L-infinity).
    """

    name = "generator"

    def __init__(self, frame: Frame, *, width: int = WIDTH, blocks: int = BLOCKS, bound: float = BOUND) -> None:
        super().__init__()
        channels, self._height, self._width = frame.shape
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Block(2 * width) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.last = _zeroed(nn.Conv2d(width, channels, 3, padding=1))
        self.register_buffer("bound", bound * torch.tensor(frame.span).reshape(1, -1, 1, 1))
        self.bound: torch.Tensor
        # Channels last: two thirds of the time on a processor.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Correct images (n, C, H, W)."""
        fine = functional.relu(self.first(x))
        coarse = functional.relu(self.down(fine))
        for block in self.blocks:
            coarse = block(coarse)
        # An odd side comes back one pixel longer.
        raised = self.up(functional.relu(coarse))[..., : self._height, : self._width]
        change: torch.Tensor = torch.tanh(self.last(functional.relu(raised + fine)))
        return x + self.bound * change

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Conv, ConvTranspose, Slice, Relu, Tanh, Mul and Add."""
        fine = graph.node("Relu", _write_convolution(graph, self.first, x))
        coarse = graph.node("Relu", _write_convolution(graph, self.down, fine))
        for block in self.blocks:
            assert isinstance(block, _Block)
            coarse = block.write(graph, coarse)
        raised = _write_convolution(graph, self.up, graph.node("Relu", coarse), operator="ConvTranspose")
        raised = cropped(graph, raised, self._height, self._width)
        last = _write_convolution(graph, self.last, graph.node("Relu", graph.node("Add", raised, fine)))
        return graph.node("Add", x, graph.node("Mul", graph.node("Tanh", last), graph.constant(self.bound.numpy())))


class _Block(nn.Module):
    """x + conv(relu(conv(relu(x)))), the identity at its start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.last = _zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.last(functional.relu(self.first(functional.relu(x))))
        return out

    def write(self, graph: GraphWriter, x: str) -> str:
        hidden = graph.node("Relu", _write_convolution(graph, self.first, graph.node("Relu", x)))
        return graph.node("Add", x, _write_convolution(graph, self.last, hidden))


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    assert convolution.bias is not None
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


def _write_convolution(
    graph: GraphWriter, convolution: nn.Conv2d | nn.ConvTranspose2d, x: str, operator: str = "Conv"
) -> str:
    assert convolution.bias is not None
    weights = (convolution.weight.detach().numpy(), convolution.bias.detach().numpy())
    stride = convolution.stride[0]
    return graph.node(operator, x, *map(graph.constant, weights), pads=[1, 1, 1, 1], strides=[stride, stride])
