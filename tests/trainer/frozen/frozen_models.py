"""Small ONNX models built by hand, and what onnxruntime makes of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def build_model(
    nodes: Sequence[onnx.NodeProto],
    *,
    shape: Sequence[int | str],
    outputs: Sequence[str] = ("y",),
    initializers: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    input_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """One input "x"; a string in `shape` leaves that dimension open."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", input_type, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (initializers or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The content of the model's file."""
    content: bytes = model.SerializeToString()
    return content


def runtime_outputs(model_bytes: bytes, x: np.ndarray) -> list[np.ndarray]:
    """All outputs, without the runtime's graph optimizations: the operators as they are defined."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def residual_model() -> onnx.ModelProto:
    """(n, 3, 8, 8) -> Conv, BatchNormalization, Relu, Conv, bias Add, BatchNormalization, sum, pool, Gemm -> (n, 5)."""
    rng = np.random.default_rng(5)

    def normal(*sizes: int) -> np.ndarray:
        return rng.standard_normal(sizes).astype(np.float32)

    weights = {"w1": normal(4, 3, 3, 3), "w2": normal(4, 4, 3, 3), "b2": normal(1, 4, 1, 1), "wf": normal(5, 4)}
    for norm in ("n1", "n2"):
        weights |= {f"{norm}.scale": normal(4), f"{norm}.bias": normal(4), f"{norm}.mean": normal(4)}
        weights[f"{norm}.var"] = np.abs(normal(4)) + 0.5
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        _norm("c1", "n1", "h1"),
        helper.make_node("Relu", ["h1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "b2"], ["s2"], name="bias2"),
        _norm("s2", "n2", "h2"),
        helper.make_node("Add", ["h2", "r1"], ["sum"], name="skip"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "wf"], ["y"], name="head", transB=1),
    ]
    return build_model(nodes, shape=["n", 3, 8, 8], initializers=weights)


def _norm(source: str, name: str, target: str) -> onnx.NodeProto:
    stored = [f"{name}.{part}" for part in ("scale", "bias", "mean", "var")]
    return helper.make_node("BatchNormalization", [source, *stored], [target], name=name)
