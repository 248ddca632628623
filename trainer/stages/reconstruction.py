"""The homogenization paper's own reconstruction network, as in its authors' code. It is not the identity at its start.

A 1x1 convolution that starts as the identity, with torch's random bias; `depth` blocks; one normalisation at the end. A
block is x + conv(relu(norm(conv(x)))) with 3x3 convolutions, `width` channels in between and reflected borders, and a
ReLU after the sum in all but the last: the sum is an image, so that everything below 0 is cut off seven times.

A new stage is in inference mode, in which it is exported; a fit puts it in training mode, where its normalisations use
the batch, and back when it is done.

Source: Willis & Oala (2021), table 5, and the authors' code, which the paper's text ("four layers of width 16")
contradicts.
"""

from math import sqrt

import torch
from torch import nn

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage

WIDTH = 8
DEPTH = 8


class Reconstruction(Stage):
    """Blocks between an almost-identity and a normalisation, all in image space."""

    name = "reconstruction"
    starts_as_identity = False

    def __init__(self, frame: Frame, *, width: int = WIDTH, depth: int = DEPTH) -> None:
        super().__init__()
        channels = frame.shape[0]
        self.first = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(channels)[:, :, None, None])
        self.blocks = nn.ModuleList(
            _Block(channels, width, scale=1 / sqrt(index + 1), is_last=index == depth - 1) for index in range(depth)
        )
        self.last = nn.BatchNorm2d(channels)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct images (n, C, H, W)."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.last(x)
        return out

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Conv, Pad, Mul, Add and Relu."""
        x = _write_convolution(graph, self.first, x)
        for block in self.blocks:
            assert isinstance(block, _Block)
            x = block.write(graph, x)
        return _write_norm(graph, self.last, x)


class _Block(nn.Module):
    def __init__(self, channels: int, width: int, *, scale: float, is_last: bool) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect")
        self.norm = nn.BatchNorm2d(width)
        self.narrow = nn.Conv2d(width, channels, 3, padding=1, padding_mode="reflect")
        self.is_last = is_last
        for convolution in (self.widen, self.narrow):
            assert convolution.bias is not None
            with torch.no_grad():
                convolution.weight.mul_(scale)
                convolution.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = x + self.narrow(torch.relu(self.norm(self.widen(x))))
        return total if self.is_last else torch.relu(total)

    def write(self, graph: GraphWriter, x: str) -> str:
        hidden = _write_convolution(graph, self.widen, x)
        hidden = graph.node("Relu", _write_norm(graph, self.norm, hidden))
        total = graph.node("Add", x, _write_convolution(graph, self.narrow, hidden))
        return total if self.is_last else graph.node("Relu", total)


def _write_convolution(graph: GraphWriter, convolution: nn.Conv2d, x: str) -> str:
    assert convolution.bias is not None
    margin = convolution.kernel_size[0] // 2
    if margin:
        pads = torch.tensor([0, 0, margin, margin] * 2)
        x = graph.node("Pad", x, graph.constant(pads.numpy()), mode="reflect")
    weights = (convolution.weight.detach().cpu().numpy(), convolution.bias.detach().cpu().numpy())
    return graph.node("Conv", x, *map(graph.constant, weights))


def _write_norm(graph: GraphWriter, norm: nn.BatchNorm2d, x: str) -> str:
    # As gain and shift: BatchNormalization is no operator that the service takes of a corrector.
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.detach().double() - norm.running_mean.double() * gain
    columns = [graph.constant(part.float().cpu().numpy()[:, None, None]) for part in (gain, shift)]
    return graph.node("Add", graph.node("Mul", x, columns[0]), columns[1])
