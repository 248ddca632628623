"""Which tensors of a frozen model are worth comparing, and what BatchNormalization already tells about them."""

from collections import defaultdict

import numpy as np

from trainer.frozen.folding import fold
from trainer.frozen.graph import Graph, read_graph
from trainer.frozen.node import Node

WEIGHT_INPUT = {"Conv": 1, "QLinearConv": 3}
"""Convolutions, and where among their inputs the weight is."""

Readers = dict[str, list[Node]]
"""The nodes that read a tensor, by the tensor's name."""


def find_taps(model_bytes: bytes) -> tuple[str, ...]:
    """The default taps: the raw output (N, C, H, W) of every 2-D convolution, in topological order.

    Of a convolution that is quantized as a whole (QLinearConv) these are whole numbers, the output in quanta.
    Where BatchNormalization survived the export these are its inputs: if the exporter wrote the convolution's bias as
    an Add of its own before it, the tap is the sum.

    Raises:
        UnsupportedModel: see `read_graph`.
    """
    return _taps(read_graph(model_bytes))


def batchnorm_statistics(model_bytes: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Running mean and variance of every default tap that feeds a BatchNormalization node, in the order of the taps.

    Returns:
        tap name -> (mean (C,), var (C,)), float64, var biased or not as the training framework kept it.

    Raises:
        UnsupportedModel: see `read_graph`.
        UnsupportedOperator: an operator between stored weights and a node is not in the table.
    """
    graph = read_graph(model_bytes)
    readers, constants = _readers(graph), fold(graph).constants
    statistics = {}
    for tap in _taps(graph):
        norm = _normalization_of(tap, readers)
        if norm is not None and all(name in constants for name in norm.inputs[3:5]):
            mean, var = (constants[name].numpy().astype(np.float64) for name in norm.inputs[3:5])
            statistics[tap] = (mean, var)
    return statistics


def _taps(graph: Graph) -> tuple[str, ...]:
    readers, constants = _readers(graph), _constant_names(graph)
    return tuple(
        _before_normalization(node.outputs[0], readers, constants)
        for node in graph.nodes
        if node.operator in WEIGHT_INPUT and not node.domain and _spatial_axes(node, graph) == 2
    )


def _readers(graph: Graph) -> Readers:
    readers = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    return readers


def _normalization_of(tensor: str, readers: Readers) -> Node | None:
    found = (n for n in readers[tensor] if n.operator == "BatchNormalization" and n.inputs[0] == tensor)
    return next(found, None)


def _constant_names(graph: Graph) -> set[str]:
    """Every tensor that does not depend on the graph's input, found without computing any."""
    names = {"", *graph.initializers}
    for node in graph.nodes:
        if names.issuperset(node.inputs):
            names.update(node.outputs)
    return names


def _before_normalization(convolved: str, readers: Readers, constants: set[str]) -> str:
    """The convolution's output, or its sum with a bias if that is what a BatchNormalization reads."""
    following = readers[convolved]
    if len(following) == 1 and following[0].operator == "Add":
        total, operands = following[0].outputs[0], set(following[0].inputs)
        if constants.issuperset(operands - {convolved}) and _normalization_of(total, readers) is not None:
            return total
    return convolved


def _spatial_axes(node: Node, graph: Graph) -> int:
    kernel = node.integers("kernel_shape")
    if kernel is not None:
        return len(kernel)
    weight = graph.initializers.get(node.inputs[WEIGHT_INPUT[node.operator]])
    # A weight that a node makes has no shape yet; pictures are what this project corrects.
    return 2 if weight is None else weight.ndim - 2
