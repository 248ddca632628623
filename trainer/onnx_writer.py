"""Writing a small ONNX graph node by node: names are given in order, so that the same graph has the same bytes."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

PRODUCER = "foreoptic"
IR_VERSION = 8
"""Read by every onnxruntime since 1.12; nothing here needs a newer one."""


class GraphWriter:
    """Collects nodes and constants of one graph."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any]) -> str:
        """A constant tensor; returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; returns the output's name."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def to_bytes(
        self, *, inputs: str, output: str, shape: tuple[int, int, int], dtype: str = "float32", metadata: dict[str, str]
    ) -> bytes:
        """The model file: one input and one output of numpy's `dtype`, both (n, *shape), n free.

        Raises:
            onnx.checker.ValidationError: the graph is not well formed.
        """
        final = "corrected"
        nodes = [*self._nodes, helper.make_node("Identity", [output], [final], name=final)]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        sides = [helper.make_tensor_value_info(name, kind, ["n", *shape]) for name in (inputs, final)]
        graph = helper.make_graph(nodes, "corrector", [sides[0]], [sides[1]], self._constants)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def cropped(graph: GraphWriter, x: str, height: int, width: int) -> str:
    """Add a node that keeps the first rows and columns of images (n, C, H, W); returns its output's name."""
    bounds = ([0, 0], [height, width], [2, 3])
    return graph.node("Slice", x, *(graph.constant(np.array(bound)) for bound in bounds))
