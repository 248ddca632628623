"""Which tensors of a frozen model are worth comparing, and what BatchNormalization already tells about them."""

from collections import defaultdict

import numpy as np

from trainer.frozen.folding import fold
from trainer.frozen.graph import Graph, read_graph
from trainer.frozen.node import Node

WEIGHT_INPUT = {"Conv": 1, "QLinearConv": 3}
"""Convolutions, and where among their inputs the weight is."""
FEWEST_MAPS = 3
"""A network with fewer feature maps than that is taken for a transformer, and its linear layers are taps, too."""
TRANSPARENT = ("QuantizeLinear", "DequantizeLinear", "Identity")

Readers = dict[str, list[Node]]
"""The nodes that read a tensor, by the tensor's name."""


def find_taps(model_bytes: bytes) -> tuple[str, ...]:
    """The default taps: the raw output (N, C, H, W) of every 2-D convolution, in topological order.

    Of a convolution that is quantized as a whole (QLinearConv) these are whole numbers, the output in quanta.
    Where BatchNormalization survived the export its inputs are taps: between a convolution and it may stand a bias
    that the exporter wrote as an Add, or a rounding; or a sum or a concatenation is what it reads.
    Where there are fewer than FEWEST_MAPS of these, the outputs (N, ..., C) of the linear layers are taps, too; and
    where there are still fewer, as in a small network of two convolutions, those (N, C) of hidden dense layers.

    Raises:
        UnsupportedModel: see `read_graph`.
    """
    graph = read_graph(model_bytes)
    maps = _maps(graph)
    linear = _linear(graph) if len(maps) < FEWEST_MAPS else frozenset()
    if len(maps) + len(linear) < FEWEST_MAPS:
        linear |= _dense(graph)
    made = (name for node in graph.nodes for name in node.outputs)
    return tuple(name for name in made if name in linear or name in maps)


def channels_last_taps(model_bytes: bytes) -> frozenset[str]:
    """Those of the default taps whose last axis holds the channels, whatever their rank. Raises UnsupportedModel."""
    graph = read_graph(model_bytes)
    return _linear(graph) - set(_maps(graph))


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
    for tap in _maps(graph):
        norm = _normalization_of(tap, readers)
        if norm is not None and all(name in constants for name in norm.inputs[3:5]):
            mean, var = (constants[name].numpy().astype(np.float64) for name in norm.inputs[3:5])
            statistics[tap] = (mean, var)
    return statistics


def _maps(graph: Graph) -> tuple[str, ...]:
    """Outputs of convolutions, and what normalisations read, in topological order; channels are the second axis."""
    readers, constants = _readers(graph), _constant_names(graph)
    convolved = [
        _before_normalization(node.outputs[0], readers, constants)
        for node in graph.nodes
        if node.operator in WEIGHT_INPUT and not node.domain and _spatial_axes(node, graph) == 2
    ]
    normalized = [node.inputs[0] for node in graph.nodes if node.operator == "BatchNormalization" and not node.domain]
    wanted = {*convolved, *normalized} - constants - {graph.input_name}
    return tuple(name for node in graph.nodes for name in node.outputs if name in wanted)


def _linear(graph: Graph) -> frozenset[str]:
    """Outputs of products with stored weights."""
    constants = _constant_names(graph)
    products = (node for node in graph.nodes if node.operator == "MatMul" and not node.domain)
    return frozenset(
        node.outputs[0] for node in products if node.inputs[1] in constants and node.inputs[0] not in constants
    )


def _dense(graph: Graph) -> frozenset[str]:
    """Outputs of Gemm nodes with stored weights but the last, whose mean tells of class frequencies."""
    constants = _constant_names(graph)
    dense = [
        node.outputs[0]
        for node in graph.nodes
        if (node.operator, node.domain) == ("Gemm", "")
        and node.inputs[1] in constants
        and node.inputs[0] not in constants
    ]
    return frozenset(dense[:-1])


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
    """The convolution's output, or what a BatchNormalization reads of it behind its bias and roundings."""
    tensor = convolved
    while _normalization_of(tensor, readers) is None:
        following = readers[tensor]
        if len(following) != 1 or not _passes_on(following[0], tensor, constants):
            return convolved
        tensor = following[0].outputs[0]
    return tensor


def _passes_on(node: Node, tensor: str, constants: set[str]) -> bool:
    adds_bias = node.operator == "Add" and constants.issuperset({*node.inputs} - {tensor})
    return adds_bias or (node.operator in TRANSPARENT and node.inputs[0] == tensor)


def _spatial_axes(node: Node, graph: Graph) -> int:
    kernel = node.integers("kernel_shape")
    if kernel is not None:
        return len(kernel)
    weight = graph.initializers.get(node.inputs[WEIGHT_INPUT[node.operator]])
    # A weight that a node makes has no shape yet; pictures are what this project corrects.
    return 2 if weight is None else weight.ndim - 2
