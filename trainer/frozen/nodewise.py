"""Compare a reading with onnxruntime node by node, each fed with onnxruntime's own values.

Made for models that round. There a difference in the last bit before a rounding becomes a whole quantum behind it, and
every tensor after that differs visibly though no operator is wrong; a comparison from end to end can only be loose:
in networks of 20 to 50 convolutions of 8 bits, all of whose nodes agree, taps differed by up to 8e-2 of their largest
element (by 6e-3 in the root mean square).
Fed with the same values, each node is held to the strict measure again. onnxruntime runs without its graph
optimizations here, so that every tensor of the file exists; what the optimizations change is not judged.
"""

import numpy as np
import torch
from torch import Tensor

from trainer.frozen import operators
from trainer.frozen.errors import ParityError
from trainer.frozen.folding import fold
from trainer.frozen.graph import Graph
from trainer.frozen.operators.quantization import STRAIGHT_THROUGH
from trainer.frozen.parity import relative_error, runtime_values

QUANTIZED = (np.int8, np.uint8, np.int16, np.uint16)
OFF_BY_ONE = 1000
"""One element in so many may differ by one quantum, and one of every tensor: ties that another order of sums breaks."""


def rounds(graph: Graph) -> bool:
    """Whether any node of the graph rounds: its gradient is straight-through, and its parity is judged here."""
    return any((node.domain, node.operator) in STRAIGHT_THROUGH for node in graph.nodes)


def check_nodewise(graph: Graph, model_bytes: bytes, inputs: np.ndarray, tolerance: float) -> None:
    """Hold every node that depends on the input to what onnxruntime makes of the same values.

    Args:
        graph: the file as `read_graph` reads it.
        model_bytes: the file.
        inputs: of the file's input shape and type; all intermediate tensors of the batch are in memory at once.
        tolerance: largest `relative_error` of a tensor that is not quantized.

    Raises:
        ParityError: naming the first tensor, in graph order, that differs.
        UnsupportedOperator: a node is not in the table.
    """
    folded = fold(graph)
    names = tuple(name for node in folded.nodes for name in node.outputs if name)
    expected = runtime_values(model_bytes, graph.input_name, inputs, names, optimized=False)
    values = {**folded.constants, graph.input_name: _as_read(inputs)}
    for node in folded.nodes:
        with torch.no_grad():
            got = operators.run(node, operators.bind(node), [values.get(name) for name in node.inputs])
        for name in filter(None, node.outputs):
            _compare(name, got[name].numpy(), expected[name], tolerance)
            values[name] = torch.from_numpy(expected[name]).to(got[name].dtype)


def _as_read(inputs: np.ndarray) -> Tensor:
    x = torch.from_numpy(inputs)
    return x.float() if inputs.dtype == np.uint8 else operators.widened(x)


def _compare(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    if got.shape != expected.shape:
        detail = f"{got.dtype}{list(got.shape)} against {expected.dtype}{list(expected.shape)}"
        raise ParityError(name, float("inf"), tolerance, detail)
    if expected.dtype not in QUANTIZED:
        error = relative_error(got, expected)
        if error > tolerance:
            raise ParityError(name, error, tolerance)
        return
    quanta = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    off, allowed = int(np.count_nonzero(quanta)), 1 + quanta.size // OFF_BY_ONE
    if off > allowed or quanta.max(initial=0.0) > 1:
        detail = (
            f"{off} of {quanta.size} quantized elements differ, by up to {quanta.max(initial=0.0):g} quanta; allowed "
            f"{allowed} by one"
        )
        raise ParityError(name, relative_error(got, expected), tolerance, detail)
