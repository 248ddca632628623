"""RANDOM NN: the frozen model's architecture with random weights, its input and all its taps.

As in the authors' code the normalisations of the random network hold the statistics of source images, and the images
themselves are among the features. `randomised` makes the network's file; whoever makes the task reads it.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from trainer.features import INPUT, FeatureMap, Named, Options, SourceMoments, measured, of_images
from trainer.frozen import FrozenError, load_frozen
from trainer.reading import Reading
from trainer.task import NoSource, Task

WEIGHTED = ("Conv", "Gemm", "MatMul")
NORMALISATION = "BatchNormalization"


def build(task: Task, options: Options) -> FeatureMap:  # noqa: ARG001 - every map is built alike
    """Raises NoSource: the task has no random network, or no source images."""
    if task.random_network is None:
        raise NoSource("the feature map random_network needs task.random_network, and the task has none")
    return RandomNetwork(task, task.random_network)


class RandomNetwork(FeatureMap):
    """Images and all taps of the random network."""

    def __init__(self, task: Task, network: Reading) -> None:
        super().__init__(task.frozen)
        self._task, self._network, self._source = task, network, of_images(task)

    def __call__(self, images: Tensor) -> Named:
        """See `FeatureMap`."""
        return {INPUT: images, **self._network.taps_only(images, self._network.taps)}

    def source(self) -> Mapping[str, SourceMoments]:
        """Of the source images."""
        return measured(self, self._source, len(self._task.fingerprint.class_counts))


def randomised(content: bytes, inputs: NDArray[Any], *, seed: int) -> bytes:
    """The network of an ONNX file with other weights.

    Weights and biases are uniform within 1 / sqrt(fan-in), torch's default; normalisations have gain 1, shift 0, and
    the mean and variance that `inputs`, source images as the model takes them, have there, first to last.

    Raises:
        FrozenError: the graph cannot be read, or does not store weights as they are, so that they would stay trained.
    """
    model = onnx.load_model_from_string(content)
    draw = np.random.default_rng(seed)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type == NORMALISATION]
    for index, node in enumerate(norms):
        _own_statistics(model, node, index, _stored(node, stored).dims[0])
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            _redraw(node, stored, draw)
    for node in norms:
        _measure(model, node, inputs)
    return bytes(model.SerializeToString(deterministic=True))


def _own_statistics(model: onnx.ModelProto, node: onnx.NodeProto, index: int, channels: int) -> None:
    """Gain 1, shift 0, mean 0, variance 1 under names that no other node reads."""
    for position, value in ((1, 1.0), (2, 0.0), (3, 0.0), (4, 1.0)):
        name = f"random_norm_{index}_{position}"
        node.input[position] = name
        model.graph.initializer.append(numpy_helper.from_array(np.full(channels, value, np.float32), name))


def _redraw(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto], draw: np.random.Generator) -> None:
    if node.op_type == "MatMul" and not any(name in stored for name in node.input):
        return  # Of two activations, as in attention.
    weights = _stored(node, stored)
    bound = 1.0 / np.sqrt(_fan_in(node, weights.dims))
    for name in (name for name in node.input if name in stored):
        shape = tuple(stored[name].dims)
        values = draw.uniform(-bound, bound, shape).astype(np.float32)
        stored[name].CopyFrom(numpy_helper.from_array(values, name))


def _stored(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> onnx.TensorProto:
    """A node's weights, or the gain of a normalisation: of what it reads, the first that is stored."""
    found = next((stored[name] for name in node.input[:2] if name in stored), None)
    if found is None:
        raise FrozenError(
            f"the feature map random_network needs the weights of {node.op_type} '{node.name}' stored as they are, and "
            "this file computes them; leave its rows out with --only"
        )
    return found


def _fan_in(node: onnx.NodeProto, shape: Sequence[int]) -> int:
    if node.op_type == "Conv":
        return prod(shape[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return shape[1] if transposed else shape[0]


@torch.no_grad()
def _measure(model: onnx.ModelProto, node: onnx.NodeProto, inputs: NDArray[Any]) -> None:
    """Give a normalisation the statistics of what it reads, all before it being settled."""
    frozen = load_frozen(model.SerializeToString(), taps=[node.input[0]])
    read = frozen.taps_only(torch.from_numpy(inputs), [node.input[0]])[node.input[0]]
    var, mean = torch.var_mean(read.transpose(0, 1).flatten(1), dim=1, unbiased=False)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, values in ((node.input[3], mean), (node.input[4], var)):
        stored[name].CopyFrom(numpy_helper.from_array(values.numpy(), name))
