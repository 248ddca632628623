"""The frozen model with its statistics computed inside: planes in, the moments of each image at each tap out.

From the file's bytes another model is made, whose nodes behind the last tap are cut off and whose outputs are two small
numbers for each image and channel; onnxruntime computes it. No activation leaves the graph, there is no gradient, and
torch is never imported: that must not change, for what cannot be read as a torch module is corrected from here.

Single precision loses the variance of a channel whose mean is large: E[x^2] - E[x]^2 is a small difference of large
numbers. So the graph takes moments about the source's mean, and they are moved back to 0 in double precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.contract.graph_walk import parse_graph
from service.contract.input_spec import InputSpec
from service.contract.statistics import ChannelMoments, Floats, ImageMoments
from trainer.runtime import make_session

Planes = NDArray[np.float32]

MOST_IMAGES = 256
MOST_VALUES = 1 << 20
"""Input values of one run, as in `trainer.measure`: activations must fit into memory."""
AXES_ARE_AN_INPUT = 18
"""The opset from which ReduceMean takes its axes as a tensor."""
STANDARD = ("", "ai.onnx")


class TapGraphError(Exception):
    """A tap graph cannot be made of this model, or does not run."""


@dataclass(frozen=True)
class Seen:
    """What is known of some images.

    Attributes:
        moments: per-image moments of every tap.
        scores: (n, classes) float32, or None where the graph was made without.
    """

    moments: dict[str, ImageMoments]
    scores: NDArray[np.float32] | None


class TapGraph:
    """A frozen model behind planes, of which only moments and scores come out.

    Attributes:
        taps: their names.
        spec: the frozen model's input.
    """

    def __init__(
        self,
        content: bytes,
        spec: InputSpec,
        source: Mapping[str, ChannelMoments],
        *,
        threads: int,
        scores: str | None = None,
    ) -> None:
        """Make the graph of the file `content` and load it.

        Args:
            source: the source's moments at the taps that are wanted.
            threads: onnxruntime's, of one operator.
            scores: the output with the class scores, where these are wanted too.

        Raises:
            UnreadableGraph: `content` is no model.
            TapGraphError: see `tap_model`; or onnxruntime refuses it.
        """
        self.taps = tuple(source)
        self.spec = spec
        self._about = {name: _single(moments.mean).astype(np.float64) for name, moments in source.items()}
        made = tap_model(content, source, scores=scores)
        try:
            self._session = make_session(made, threads=threads)
        # onnxruntime's exception types have no common base of their own.
        except Exception as error:
            raise TapGraphError(f"onnxruntime refuses the tap graph of {list(source)}: {error}") from error

    def moments(self, planes: Planes) -> dict[str, ImageMoments]:
        """Per-image moments of every tap for planes (n, C, H, W). Raises TapGraphError."""
        return self.see(planes).moments

    def see(self, planes: Planes) -> Seen:
        """Moments and, where the graph was made with them, scores. Raises TapGraphError."""
        rows = self._rows(planes)
        parts = [self._run(planes[start : start + rows]) for start in range(0, len(planes), rows)]
        outputs = [np.concatenate(column) for column in zip(*parts, strict=True)]
        moments = {
            name: _about_zero(outputs[2 * index], outputs[2 * index + 1], self._about[name])
            for index, name in enumerate(self.taps)
        }
        has_scores = len(outputs) > 2 * len(self.taps)
        return Seen(moments, _single(outputs[-1].reshape(len(planes), -1)) if has_scores else None)

    def _rows(self, planes: Planes) -> int:
        most: int = min(MOST_IMAGES, MOST_VALUES // planes[0].size)
        # Whole groups where the file fixes its rows.
        fixed = self.spec.batch or 1
        return fixed * max(1, most // fixed)

    def _run(self, planes: Planes) -> list[NDArray[Any]]:
        """All outputs for some planes, in groups of as many rows as the file fixes, the last filled up with copies."""
        tensor = self.spec.to_tensor(planes)
        rows = self.spec.batch or len(tensor)
        whole = tensor[np.minimum(np.arange(ceil(len(tensor) / rows) * rows), len(tensor) - 1)]
        try:
            runs = [self._session.run(None, {self.spec.name: part}) for part in np.split(whole, len(whole) // rows)]
        except Exception as error:  # as above
            raise TapGraphError(f"the tap graph fails on {tensor.dtype}{list(tensor.shape)}: {error}") from error
        return [np.concatenate(outputs)[: len(tensor)] for outputs in zip(*runs, strict=True)]


def tap_model(content: bytes, source: Mapping[str, ChannelMoments], *, scores: str | None = None) -> bytes:
    """The model whose outputs are, tap by tap, the first and second moment (n, C) about the source's mean; then scores.

    Raises:
        UnreadableGraph: `content` is no model.
        TapGraphError: no node makes a tap, `scores` is no output, or nothing is asked for.
    """
    model = parse_graph(content)
    graph = model.graph
    _check_names(graph, source, scores)
    score_outputs = [output for output in graph.output if output.name == scores]
    _cut(graph, {*source, *(output.name for output in score_outputs)})
    writer = _Statistics(graph, _opset(model))
    made = [name for tap, moments in source.items() for name in writer.add(tap, moments.mean)]
    del graph.output[:]
    graph.output.extend([helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in made])
    graph.output.extend(score_outputs)
    return bytes(model.SerializeToString())


def _opset(model: onnx.ModelProto) -> int:
    return next((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD), 1)


def _check_names(graph: onnx.GraphProto, source: Mapping[str, ChannelMoments], scores: str | None) -> None:
    made = {name for node in graph.node for name in node.output}
    unknown = [name for name in source if name not in made]
    if unknown:
        raise TapGraphError(f"no node of the model makes the taps {unknown}; take names from the model's manifest")
    outputs = [output.name for output in graph.output]
    if scores is not None and scores not in outputs:
        raise TapGraphError(f"the model has no output {scores!r}, its outputs are {outputs}")
    if not source and scores is None:
        raise TapGraphError("a tap graph of no tap and no scores computes nothing; name at least one tap")


def _cut(graph: onnx.GraphProto, wanted: set[str]) -> None:
    """Leave only the nodes that `wanted` tensors need, and what is stored for them."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    kept: set[int] = set()
    waiting = [makers[name] for name in wanted]
    while waiting:
        index = waiting.pop()
        if index not in kept:
            kept.add(index)
            waiting += [makers[name] for name in _read_by(graph.node[index]) if name in makers]
    nodes = [graph.node[index] for index in sorted(kept)]
    read = {name for node in nodes for name in _read_by(node)}
    stored = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    # Old files list stored tensors among their inputs: with the tensor gone, it would have to be fed.
    inputs = [value for value in graph.input if value.name in read or value.name not in stored]
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    known = [value for value in graph.value_info if value.name in read | wanted]
    for field, values in (("node", nodes), ("input", inputs), ("initializer", tensors), ("value_info", known)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)


def _read_by(node: onnx.NodeProto) -> set[str]:
    """Tensors that a node reads, those that its sub-graphs take from outside included."""
    bodies = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    inner = {name for body in bodies for part in body.node for name in _read_by(part)}
    given = {output.name for body in bodies for output in body.output}
    return {*node.input, *inner, *given}


class _Statistics:
    """Adds the nodes that take moments to a graph."""

    def __init__(self, graph: onnx.GraphProto, opset: int) -> None:
        self._graph = graph
        self._opset = opset
        taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._prefix = "statistics"
        while any(name.startswith(self._prefix) for name in taken):
            self._prefix += "_"

    def add(self, tap: str, about: Floats) -> tuple[str, str]:
        """Names of both moments (n, C) of a tap about the values `about` (C,)."""
        is_last = self._has_channels_last(tap)
        sizes = [0, -1, len(about)] if is_last else [0, len(about), -1]
        shift = _single(about) if is_last else _single(about)[:, None]
        # Half precision, and the quanta of integer arithmetic, are no numbers to take moments in.
        wide = self._node("Cast", tap, to=TensorProto.FLOAT)
        flat = self._node("Reshape", wide, self._constant(np.array(sizes)))
        centred = self._node("Sub", flat, self._constant(shift))
        axis = 1 if is_last else 2
        return self._mean(centred, axis), self._mean(self._node("Mul", centred, centred), axis)

    def _mean(self, x: str, axis: int) -> str:
        if self._opset < AXES_ARE_AN_INPUT:
            return self._node("ReduceMean", x, axes=[axis], keepdims=0)
        return self._node("ReduceMean", x, self._constant(np.array([axis])), keepdims=0)

    def _has_channels_last(self, tap: str) -> bool:
        """Whether a linear layer made the tap, as `trainer.frozen.channels_last_taps` tells of default taps."""
        maker = next(node for node in self._graph.node if tap in node.output)
        normalized = any(node.op_type == "BatchNormalization" and node.input[0] == tap for node in self._graph.node)
        return maker.op_type == "MatMul" and not normalized

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"{self._prefix}/constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self._prefix}/{operator.lower()}_{len(self._graph.node)}"
        self._graph.node.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name


def _about_zero(first: NDArray[np.float32], second: NDArray[np.float32], about: Floats) -> ImageMoments:
    """Moments about `about` as moments about 0: E[x] = E[d] + a, E[x^2] = E[d^2] + 2 a E[d] + a^2."""
    d, d2 = first.astype(np.float64), second.astype(np.float64)
    return ImageMoments(d + about, d2 + 2 * about * d + about * about)


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)
