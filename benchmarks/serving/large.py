"""Pairs at 224 x 224 pixels: a filter before a network of ResNet-18's size, and before one like MobileNetV2."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving.pair import FROZEN_OUTPUT, OPSET, Pair
from trainer.onnx_writer import GraphWriter

SHAPE = (3, 224, 224)
CLASSES = 1000
FILTER = 5
RESNET = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
"""Width and stride of each block."""
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, width, repeats and stride of each stage, as in the paper's table."""


class _Network:
    """A graph with untrained kernels."""

    def __init__(self) -> None:
        self._draw = np.random.default_rng(4)
        self._nodes: list[object] = []
        self._constants: list[object] = []

    def constant(self, values: NDArray[np.float32]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = f"node_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, inputs: int, outputs: int, side: int, stride: int = 1, group: int = 1) -> str:
        fan_in = inputs // group * side * side
        kernel = self._draw.normal(0, np.sqrt(2 / fan_in), (outputs, inputs // group, side, side)).astype(np.float32)
        bias = self.constant(np.zeros(outputs, np.float32))
        pads, strides = [side // 2] * 4, [stride, stride]
        return self.node("Conv", x, self.constant(kernel), bias, pads=pads, strides=strides, group=group)

    def clip(self, x: str) -> str:
        return self.node("Clip", x, self.constant(np.float32(0)), self.constant(np.float32(6)))

    def finish(self, x: str, width: int) -> bytes:
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        weight = self._draw.normal(0, 1 / np.sqrt(width), (CLASSES, width)).astype(np.float32)
        names = [self.constant(weight), self.constant(np.zeros(CLASSES, np.float32))]
        self._nodes.append(helper.make_node("Gemm", [flat, *names], [FROZEN_OUTPUT], transB=1))
        sides = [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE]),
            helper.make_tensor_value_info(FROZEN_OUTPUT, TensorProto.FLOAT, ["n", CLASSES]),
        ]
        graph = helper.make_graph(self._nodes, "large", sides[:1], sides[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return bytes(model.SerializeToString(deterministic=True))


def resnet_pair() -> Pair:
    """11.7 million parameters."""
    net, inputs = _Network(), 64
    x = net.node("Relu", net.conv("image", 3, inputs, 7, stride=2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for width, stride in RESNET:
        y = net.conv(net.node("Relu", net.conv(x, inputs, width, 3, stride)), width, width, 3)
        shortcut = x if (inputs, stride) == (width, 1) else net.conv(x, inputs, width, 1, stride)
        x, inputs = net.node("Relu", net.node("Add", y, shortcut)), width
    return Pair(net.finish(x, inputs), _corrector(), SHAPE)


def mobilenet_pair() -> Pair:
    """3.5 million parameters."""
    net, inputs = _Network(), 32
    x = net.clip(net.conv("image", 3, inputs, 3, stride=2))
    for expansion, width, repeats, first in MOBILENET:
        for repeat in range(repeats):
            stride, inner = (first if repeat == 0 else 1), inputs * expansion
            y = x if expansion == 1 else net.clip(net.conv(x, inputs, inner, 1))
            y = net.conv(net.clip(net.conv(y, inner, inner, 3, stride, group=inner)), inner, width, 1)
            x, inputs = (net.node("Add", x, y) if (stride, inputs) == (1, width) else y), width
    return Pair(net.finish(net.clip(net.conv(x, inputs, 1280, 1)), 1280), _corrector(), SHAPE)


def _corrector() -> bytes:
    """A filter of 5 x 5 a channel, near the identity."""
    kernel = np.random.default_rng(5).normal(0, 0.01, (SHAPE[0], 1, FILTER, FILTER)).astype(np.float32)
    kernel[:, :, FILTER // 2, FILTER // 2] += 1
    graph = GraphWriter(OPSET)
    x = graph.node("Conv", "image", graph.constant(kernel), pads=[FILTER // 2] * 4, group=SHAPE[0])
    return graph.to_bytes(inputs="image", output=x, shape=SHAPE, metadata={})
