"""The way from bytes to a checked module: read, bind, compare."""

from collections.abc import Sequence

import numpy as np

from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.nodewise import check_nodewise, rounds
from trainer.frozen.parity import check_parity, mean_error, random_inputs, tolerance_of

MEAN_TOLERANCE = 2e-2
"""Twice what was seen in quantized networks of up to 50 convolutions, all of whose nodes agree: see `nodewise`."""


def load_frozen(
    model_bytes: bytes,
    *,
    taps: Sequence[str] = (),
    parity_inputs: np.ndarray | None = None,
    tolerance: float | None = None,
) -> FrozenModel:
    """Read a model and compare it with onnxruntime before anyone relies on it.

    Args:
        model_bytes: content of one .onnx file with all its data inside.
        taps: tensors inside the graph to give out beside the outputs; see `find_taps`.
        parity_inputs: a batch of the input's shape and type; 3 seeded random rows by default.
        tolerance: largest max|a - b| / max(1e-6, max|b|) allowed for any output or tap, b from onnxruntime; by
            default what the file's precision allows, see `parity.tolerance_of`. Files that round are held to it node
            by node, and end to end by the root mean square alone; see `nodewise`.

    Raises:
        UnsupportedModel: the file cannot be read, or onnxruntime does not run it.
        UnsupportedOperator: a node needs what the operator table does not compute; raised before anything is computed.
        UnknownTap: a tap is made by no node.
        InputMismatch: parity_inputs do not have the declared shape.
        ParityError: a tensor differs; the message names it.
    """
    graph = read_graph(model_bytes)
    model = FrozenModel(graph, taps)
    inputs = random_inputs(model, graph.input_type) if parity_inputs is None else parity_inputs
    allowed = tolerance_of(graph) if tolerance is None else tolerance
    if rounds(graph):
        check_nodewise(graph, model_bytes, inputs, allowed)
        check_parity(model, model_bytes, inputs, MEAN_TOLERANCE, mean_error)
    else:
        check_parity(model, model_bytes, inputs, allowed)
    return model
