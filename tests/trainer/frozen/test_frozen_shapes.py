"""Graphs that compute shapes while they run, as exporters write them for open axes, read at several sizes.

What the tracing exporter of torch writes is made here, from small networks. What the others write (torch.export,
tf2onnx, older paddle2onnx) is kept as text, cut down to the part that computes shapes.
"""

import io
import warnings

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from frozen_case import normal
from frozen_models import runtime_outputs, to_bytes
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from trainer.frozen import load_frozen
from trainer.frozen.errors import UnsupportedOperator
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel

BATCH = {0: "n"}
BATCH_AND_PICTURE = {0: "n", 2: "h", 3: "w"}
SIZES = {"batch": [(1, 3, 16, 16), (4, 3, 16, 16)], "picture": [(2, 3, 16, 16), (3, 3, 24, 20)]}
TRACED_AT = (2, 3, 16, 16)


class _Shuffled(nn.Module):
    """Channels mixed between groups and cut in halves, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = self.conv(x).shape
        mixed = self.conv(x).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)
        left, right = mixed.chunk(2, dim=1)
        return torch.cat((right, left * 2), 1).mean((2, 3))


class _Cropped(nn.Module):
    """A picture cut to the size of its own features, as in U-Net, and widened to a multiple of eight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        top, left = (x.size(2) - y.size(2)) // 2, (x.size(3) - y.size(3)) // 2
        both = torch.cat((y, x[:, :, top : top + y.size(2), left : left + y.size(3)]), 1)
        return functional.pad(both, (0, -both.size(3) % 8, 1, -both.size(2) % 8))


class _Placed(nn.Module):
    """A ramp over the rows beside the picture, and a mask of its lower triangle."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        rows = torch.arange(h, dtype=x.dtype).view(1, 1, h, 1).expand(n, 1, h, w) / (h - 1)
        below = torch.arange(h).view(h, 1) >= torch.arange(w).view(1, w)
        return torch.cat((x.masked_fill(below, -1.0), rows, torch.ones(n, 1, h, w)), 1)


class _Windowed(nn.Module):
    """Windows of a rolled picture, as in Swin, and every second element."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(x.permute(0, 2, 3, 1), (-2, -2), (1, 2))
        n, h, w, c = x.shape
        windows = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        windows = windows - windows.mean(1, keepdim=True)
        x = windows.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.cat((x[:, 0::2, 0::2], x[:, 1::2, 1::2]), -1)


class _Attending(nn.Module):
    """Patches, a class token for each picture of the batch, and two heads of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.ones(1, 1, 8))
        self.read = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(x.size(0), -1, -1), patches), 1)
        n, length, _ = tokens.shape
        queries, keys, values = self.read(tokens).reshape(n, length, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (queries @ keys.transpose(-2, -1) / 2).softmax(-1)
        return functional.gelu((weights @ values).transpose(1, 2).reshape(n, length, 8)[:, 0])


NETWORKS = (_Shuffled, _Cropped, _Placed, _Windowed, _Attending)


def _traced(network: nn.Module, opset: int, axes: dict[int, str]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter announces its own end, and warns of every size that it writes as a constant.
        warnings.simplefilter("ignore")
        example, options = (torch.zeros(TRACED_AT),), {"input_names": ["x"], "dynamic_axes": {"x": axes}}
        torch.onnx.export(network, example, buffer, opset_version=opset, dynamo=False, **options)  # type: ignore[arg-type]  # options differ in type
    return buffer.getvalue()


def _picture(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def _gradient(model: nn.Module, x: np.ndarray) -> Tensor:
    batch = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(model(batch).square().sum(), batch)
    return gradient


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("opset", [11, 13, 17, 20])
@pytest.mark.parametrize("network_type", NETWORKS, ids=lambda network: network.__name__.removeprefix("_").lower())
def test_traced_network_is_read_at_every_size(network_type: type[nn.Module], opset: int, axes: str) -> None:
    torch.manual_seed(0)
    network = network_type().eval()
    model_bytes = _traced(network, opset, BATCH if axes == "batch" else BATCH_AND_PICTURE)
    frozen = load_frozen(model_bytes, parity_inputs=_picture(TRACED_AT))

    for shape in SIZES[axes]:
        x = _picture(shape)
        got = frozen(torch.from_numpy(x)).numpy()

        # Sums of at most a hundred numbers of size 1, in any order.
        np.testing.assert_allclose(got, runtime_outputs(model_bytes, x)[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(_gradient(frozen, x), _gradient(network, x), rtol=1e-3, atol=1e-5)


TEXTS = {
    # torch.export: a size is Shape with both ends and Squeeze, joined again by Reshape and Concat.
    "export-groups": """<ir_version: 10, opset_import: ["" : 18]>
        graph (float[n,4,h,w] x) => (float[n,4,h,w] y) <int64[1] minus = {-1}, int64[1] two = {2}> {
            n1 = Shape <start = 0, end = 1> (x)  n = Squeeze (n1)
            h1 = Shape <start = 2, end = 3> (x)  h = Squeeze (h1)
            w1 = Shape <start = 3, end = 4> (x)  w = Squeeze (w1)
            n2 = Reshape <allowzero = 0> (n, minus)
            h2 = Reshape <allowzero = 0> (h, minus)
            w2 = Reshape <allowzero = 0> (w, minus)
            grouped = Concat <axis = 0> (n2, two, two, h2, w2)
            groups = Reshape <allowzero = 1> (x, grouped)
            turned = Transpose <perm = [0, 2, 1, 3, 4]> (groups)
            joined = Concat <axis = 0> (n2, minus, h2, w2)
            y = Reshape <allowzero = 1> (turned, joined)
        }""",
    "export-multiple-of-eight": """<ir_version: 10, opset_import: ["" : 18]>
        graph (float[n,4,h,w] x) => (float[n,4] y)
        <int64 eight = {8}, int64 minus = {-1}, int64[1] flat = {-1}, int64[1] none = {0}, int64[2] places = {2, 3}> {
            h1 = Shape <start = 2, end = 3> (x)  h = Squeeze (h1)
            rest = Mod <fmod = 0> (h, eight)  lack = Mul (minus, rest)
            sum = Add (eight, lack)  missing = Mod <fmod = 0> (sum, eight)
            below = Reshape <allowzero = 0> (missing, flat)
            pads = Concat <axis = 0> (none, none, none, none, none, none, below, none)
            padded = Pad <mode = "constant"> (x, pads)
            y = ReduceMean <keepdims = 0> (padded, places)
        }""",
    "export-ramp": """<ir_version: 10, opset_import: ["" : 18]>
        graph (float[n,4,h,w] x) => (float[n,6,h,w] y)
        <int64 one = {1}, int64[1] single = {1}, float zero = {0}, float unit = {1}, int64[4] column = {1, 1, -1, 1}> {
            n = Shape <start = 0, end = 1> (x)
            h1 = Shape <start = 2, end = 3> (x)  h = Squeeze (h1)
            w = Shape <start = 3, end = 4> (x)
            top = Cast <to = 1> (h)
            numbers = Range (zero, top, unit)
            ramp = Reshape <allowzero = 1> (numbers, column)
            sizes = Concat <axis = 0> (n, single, h1, w)
            rows = Expand (ramp, sizes)
            last = Sub (h, one)  scale = CastLike (last, zero)
            scaled = Div (rows, scale)
            ones = Expand (unit, sizes)
            y = Concat <axis = 1> (x, scaled, ones)
        }""",
    # tf2onnx: sizes in int32, cut out by Slice, and a product of sizes.
    "tensorflow-flatten": """<ir_version: 7, opset_import: ["" : 12]>
        graph (float[n,4,h,w] x) => (float[n,k] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] four = {4}, int32[1] minus = {-1}> {
            pictures = Transpose <perm = [0, 2, 3, 1]> (x)
            long = Shape (pictures)  sizes = Cast <to = 6> (long)
            n1 = Slice (sizes, zero, one, zero)  n = Squeeze <axes = [0]> (n1)
            rest = Slice (sizes, one, four, zero)
            count = ReduceProd <axes = [0], keepdims = 1> (rest)
            positive = Max (count, minus)
            rows = Unsqueeze <axes = [0]> (n)
            joined = Concat <axis = 0> (rows, positive)
            wanted = Cast <to = 7> (joined)
            y = Reshape (pictures, wanted)
        }""",
    "tensorflow-strided": """<ir_version: 7, opset_import: ["" : 11]>
        graph (float[n,4,h,w] x) => (float[n,4,hs,ws] y)
        <int64[2] spatial = {2, 3}, int64[2] twos = {2, 2}, int64[1] length = {2}, bool[2] masks = {0, 1}> {
            zeros = ConstantOfShape <value = int64[1] {0}> (length)
            sizes = Shape (x)  shape = Gather <axis = 0> (sizes, spatial)
            halves = Div (shape, twos)
            start = Where (masks, zeros, halves)
            y = Slice (x, start, shape, spatial)
        }""",
    # Exporters of opset 9 compute in floats: Cast, Mul, Floor, Cast.
    "older-halves": """<ir_version: 4, opset_import: ["" : 9]>
        graph (float[n,4,h,w] x) => (float[n,32,hs,ws] y)
        <int64 zero = {0}, float half = {0.5}, int64[1] four = {4}, int64[1] many = {32},
         int64[4] repeats = {1, 2, 1, 1}> {
            sizes = Shape (x)
            n = Gather <axis = 0> (sizes, zero)  n1 = Unsqueeze <axes = [0]> (n)
            spatial = Slice <axes = [0], starts = [2], ends = [4]> (sizes)
            real = Cast <to = 1> (spatial)
            halved = Mul (real, half)  floored = Floor (halved)  whole = Cast <to = 7> (floored)
            shape = Concat <axis = 0> (n1, four, spatial)
            filling = ConstantOfShape <value = float[1] {0.5}> (shape)
            shifted = Add (x, filling)
            doubled = Tile (shifted, repeats)
            small = Concat <axis = 0> (n1, many, whole)
            y = Reshape (doubled, small)
        }""",
}
SHAPES = [(1, 4, 4, 6), (3, 4, 10, 8)]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_written_graph_is_read_at_every_size(text: str) -> None:
    model_bytes = to_bytes(onnx.parser.parse_model(text))
    frozen = load_frozen(model_bytes, parity_inputs=_picture(SHAPES[0]))

    for shape in SHAPES:
        x = _picture(shape)

        np.testing.assert_allclose(
            frozen(torch.from_numpy(x)).numpy(), runtime_outputs(model_bytes, x)[0], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_gradient_passes_beside_computed_shapes(text: str) -> None:
    frozen = FrozenModel(read_graph(to_bytes(onnx.parser.parse_model(text)))).double()

    for shape in SHAPES:
        x = torch.from_numpy(_picture(shape)).double().requires_grad_()

        assert torch.autograd.gradcheck(frozen, (x,), fast_mode=True)


def test_parts_that_no_one_reads_count_when_the_others_are_cut() -> None:
    text = """<ir_version: 4, opset_import: ["" : 9]>
        graph (float[n,6] x) => (float[n,2] y) {
            first, second, third = Split <axis = 1> (x)
            y = Add (first, second)
        }"""
    x = _picture((3, 6))

    frozen = load_frozen(to_bytes(onnx.parser.parse_model(text)), parity_inputs=x)

    np.testing.assert_array_equal(x[:, :2] + x[:, 2:4], frozen(torch.from_numpy(x)).numpy())


def test_what_sizes_make_meets_pictures_on_another_device() -> None:
    """Shapes are computed on the CPU, so are tensors filled by them; the meta device stands for an accelerator."""
    text = """<ir_version: 10, opset_import: ["" : 17]>
        graph (float[n,2,h,w] x) => (float[n,5,h,h] y) <int64 two = {2}, int64 three = {3}, int64[1] flat = {-1}> {
            sizes = Shape (x)
            h = Gather (sizes, two)  h1 = Reshape (h, flat)  w = Gather (sizes, three)  w1 = Reshape (w, flat)
            square = Concat <axis = 0> (h1, h1)  turned = Concat <axis = 0> (w1, h1)
            ones = ConstantOfShape <value = float[1] {1.0}> (turned)
            halves = ConstantOfShape <value = float[1] {0.5}> (square)
            product = MatMul (x, ones)
            larger = Max (product, halves)
            summed = Einsum <equation = "ncij,jk->nik"> (larger, halves)
            over = Greater (summed, halves)
            chosen = Where (over, summed, halves)
            corner = ConstantOfShape <value = int64[1] {0}> (six)
            place = Reshape (corner, pair)
            update = ConstantOfShape <value = float[1] {2.0}> (flat_one)
            marked = ScatterND (chosen, place, update)
            layer = Unsqueeze (marked, axis)
            y = Concat <axis = 1> (larger, layer, larger)
        }"""
    sizes = {"six": [3], "pair": [1, 3], "flat_one": [1], "axis": [1]}
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in sizes.items())
    x = _picture((2, 2, 4, 6))
    frozen = load_frozen(to_bytes(model), parity_inputs=x)

    y = frozen.to("meta")(torch.from_numpy(x).to("meta"))

    assert (y.device.type, y.shape) == ("meta", (2, 5, 4, 4))


def test_weights_of_a_computed_choice_are_told_apart() -> None:
    """A mask from sizes picks between two stored weights: the picture's height decides."""
    text = """<ir_version: 10, opset_import: ["" : 17]>
        graph (float[n,2,h,w] x) => (float[n,2,h,w] y) <int64 two = {2}, int64 six = {6}> {
            sizes = Shape (x)  h = Gather <axis = 0> (sizes, two)
            tall = GreaterOrEqual (h, six)
            weight = Where (tall, first, second)
            y = Mul (x, weight)
        }"""
    model = onnx.parser.parse_model(text)
    first, second = normal(2, 1, 1, seed=1), normal(2, 1, 1, seed=2)
    model.graph.initializer.extend([numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")])
    flat, tall = _picture((1, 2, 4, 3)), _picture((1, 2, 8, 3))

    frozen = load_frozen(to_bytes(model), parity_inputs=flat)

    np.testing.assert_array_equal(flat * second, frozen(torch.from_numpy(flat)).numpy())
    np.testing.assert_array_equal(tall * first, frozen(torch.from_numpy(tall)).numpy())


def test_sequence_of_different_shapes_is_refused_by_name() -> None:
    text = """<ir_version: 10, opset_import: ["" : 17]>
        graph (float[n,5] x) => (float[n,2] y) <int64 two = {2}, int64 zero = {0}> {
            parts = SplitToSequence <axis = 1> (x, two)
            y = SequenceAt (parts, zero)
        }"""

    with pytest.raises(UnsupportedOperator, match=r"SplitToSequence.*one shape"):
        load_frozen(to_bytes(onnx.parser.parse_model(text)), parity_inputs=_picture((3, 5)))
