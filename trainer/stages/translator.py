"""The calibrator paper's own generator, as in its authors' code. It is not the identity at its start.

The residual generator of Johnson et al. (2016) that CycleGAN uses: convolution 7x7, two with stride 2, residual blocks,
two transposed ones back, convolution 7x7, tanh; instance normalisation without weights behind all but the last. What it
gives is added to the image: in the code between 0 and a bound, so that it can only brighten, and begins at the middle
of tanh's range; `signed` lets it darken, too, and it begins at 0.

Source: Ye et al., "Light-weight calibrator" (2020), and the authors' code; sizes there are 8 wide and 9 blocks for
MNIST to USPS, 4 wide and 9 blocks for USPS to MNIST, 8 wide and 8 blocks for SVHN to MNIST.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter, cropped
from trainer.stages import Stage

WIDTH = 8
BLOCKS = 9
BOUND = 0.2
"""0.4 of values from -1 to 1."""
SPREAD = 0.02
"""Standard deviation of the first weights."""
DROPPED = 0.05
EPSILON = 1e-5


class Translator(Stage):
    """clamp(x + span * p): p = clamp((1 + tanh g(x)) / 4, 0, bound), or bound * tanh g(x) where `signed`.

    g is called with images whose values run from -1 to 1 in the paper; its first normalisation takes shift and scale
    out, so that they need not be brought there unless channels have different spans. Where the frame knows the input's
    range the sum is kept in it.
    """

    name = "translator"
    starts_as_identity = False

    def __init__(
        self, frame: Frame, *, width: int = WIDTH, blocks: int = BLOCKS, bound: float = BOUND, signed: bool = False
    ) -> None:
        super().__init__()
        channels, self._height, self._width = frame.shape
        self._bound, self._signed = bound, signed
        wide = 4 * width
        self.first = nn.Conv2d(channels, width, 7)
        self.down = nn.ModuleList(
            nn.Conv2d(width * scale, 2 * width * scale, 3, stride=2, padding=1) for scale in (1, 2)
        )
        self.blocks = nn.ModuleList(_Block(wide) for _ in range(blocks))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width * scale, width * scale, 3, stride=2, padding=1, output_padding=1)
            for scale in (2, 1)
        )
        self.last = nn.Conv2d(width, channels, 7)
        self.dropout = nn.Dropout(DROPPED)
        self.register_buffer("span", torch.tensor(frame.span).reshape(1, -1, 1, 1))
        self.span: torch.Tensor
        if frame.low is not None:
            low = torch.tensor(frame.low).reshape(1, -1, 1, 1)
            self.register_buffer("low", low)
            self.register_buffer("high", low + self.span)
        self._is_clamped = frame.low is not None
        self.low: torch.Tensor
        self.high: torch.Tensor
        self._begin()
        self.eval()

    @torch.no_grad()
    def _begin(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.bias is not None
                layer.weight.normal_(0.0, SPREAD)
                layer.bias.zero_()
        if self._signed:
            self.last.weight.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Correct images (n, C, H, W)."""
        hidden = _normal(self.first(_reflected(x, 3))).relu()
        for layer in self.down:
            hidden = _normal(layer(hidden)).relu()
        for block in self.blocks:
            hidden = block(hidden)
        for layer in self.up:
            hidden = _normal(layer(hidden)).relu()
        hidden = hidden[..., : self._height, : self._width]
        change = self._change(self.dropout(torch.tanh(self.last(_reflected(hidden, 3)))))
        moved: torch.Tensor = x + self.span * change
        return torch.clamp(moved, self.low, self.high) if self._is_clamped else moved

    def _change(self, bent: torch.Tensor) -> torch.Tensor:
        return self._bound * bent if self._signed else ((1.0 + bent) / 4.0).clamp(0.0, self._bound)

    def write(self, graph: GraphWriter, x: str) -> str:
        """As Pad, Conv, ConvTranspose, InstanceNormalization, Slice, Relu, Tanh, Mul, Add, Clip, Max and Min."""
        hidden = graph.node("Relu", _write_normal(graph, self.first, _write_reflected(graph, x, 3)))
        for part in (*self.down, *self.blocks, *self.up):
            hidden = part.write(graph, hidden) if isinstance(part, _Block) else _write_scaled(graph, part, hidden)
        hidden = cropped(graph, hidden, self._height, self._width)
        bent = graph.node("Tanh", _write_convolution(graph, self.last, _write_reflected(graph, hidden, 3)))
        change = graph.node("Mul", self._write_change(graph, bent), graph.constant(self.span.numpy()))
        moved = graph.node("Add", x, change)
        if not self._is_clamped:
            return moved
        low, high = (graph.constant(bound.numpy()) for bound in (self.low, self.high))
        return graph.node("Min", graph.node("Max", moved, low), high)

    def _write_change(self, graph: GraphWriter, bent: str) -> str:
        bound = graph.constant(np.array(self._bound, np.float32))
        if self._signed:
            return graph.node("Mul", bent, bound)
        zero, one, quarter = (graph.constant(np.array(value, np.float32)) for value in (0.0, 1.0, 0.25))
        return graph.node("Clip", graph.node("Mul", graph.node("Add", bent, one), quarter), zero, bound)


class _Block(nn.Module):
    """x + normal(conv(relu(normal(conv(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(width, width, 3), nn.Conv2d(width, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = _normal(self.first(_reflected(x, 1))).relu()
        return x + _normal(self.last(_reflected(inner, 1)))

    def write(self, graph: GraphWriter, x: str) -> str:
        inner = graph.node("Relu", _write_normal(graph, self.first, _write_reflected(graph, x, 1)))
        return graph.node("Add", x, _write_normal(graph, self.last, _write_reflected(graph, inner, 1)))


def _write_scaled(graph: GraphWriter, layer: nn.Module, x: str) -> str:
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return graph.node("Relu", _write_normal(graph, layer, x))


def _reflected(x: torch.Tensor, margin: int) -> torch.Tensor:
    return functional.pad(x, [margin] * 4, mode="reflect")


def _normal(x: torch.Tensor) -> torch.Tensor:
    return functional.instance_norm(x, eps=EPSILON)


def _write_reflected(graph: GraphWriter, x: str, margin: int) -> str:
    pads = graph.constant(np.array([0, 0, margin, margin] * 2))
    return graph.node("Pad", x, pads, mode="reflect")


def _write_convolution(graph: GraphWriter, layer: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
    assert layer.bias is not None
    weights = [graph.constant(part.detach().cpu().numpy()) for part in (layer.weight, layer.bias)]
    sizes = {"pads": [*layer.padding] * 2, "strides": [*layer.stride]}
    if isinstance(layer, nn.ConvTranspose2d):
        return graph.node("ConvTranspose", x, *weights, output_padding=[*layer.output_padding], **sizes)
    return graph.node("Conv", x, *weights, **sizes)


def _write_normal(graph: GraphWriter, layer: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
    """A convolution and the normalisation behind it."""
    count = layer.out_channels
    one, zero = (graph.constant(np.full(count, value, np.float32)) for value in (1.0, 0.0))
    return graph.node("InstanceNormalization", _write_convolution(graph, layer, x), one, zero, epsilon=EPSILON)
