"""One model behind the interfaces that exporters give it: other layouts, element types, rows, sizes and outputs.

Each variant computes what `tiny_onnx` (see conftest) does, so that what changes is the interface alone.
"""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Variant = Callable[[bytes], bytes]


def _edited(content: bytes, edit: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(content)
    edit(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _put_in_front(model: onnx.ModelProto, kind: int, shape: list[str | int], *nodes: onnx.NodeProto) -> None:
    """A new input `image` of another type or shape; the last node makes what the first convolution reads."""
    model.graph.node[0].input[0] = "picture"
    for index, node in enumerate(nodes):
        model.graph.node.insert(index, node)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind, shape))


def channels_last(content: bytes) -> bytes:
    """(n, H, W, C) float32, transposed by the first node."""

    def edit(model: onnx.ModelProto) -> None:
        first = helper.make_node("Transpose", ["image"], ["picture"], perm=[0, 3, 1, 2])
        _put_in_front(model, TensorProto.FLOAT, ["n", 8, 8, 1], first)

    return _edited(content, edit)


def whole_numbers(content: bytes) -> bytes:
    """uint8 pixels, divided by 255 inside."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"))
        cast = helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT)
        _put_in_front(
            model, TensorProto.UINT8, ["n", 1, 8, 8], cast, helper.make_node("Mul", ["wide", "scale"], ["picture"])
        )

    return _edited(content, edit)


def whole_numbers_channels_last(content: bytes) -> bytes:
    """uint8 pixels (n, H, W, C), as TensorFlow's converters write them."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"))
        nodes = (
            helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["wide", "scale"], ["scaled"]),
            helper.make_node("Transpose", ["scaled"], ["picture"], perm=[0, 3, 1, 2]),
        )
        _put_in_front(model, TensorProto.UINT8, ["n", 8, 8, 1], *nodes)

    return _edited(content, edit)


def half_precision(content: bytes) -> bytes:
    """float16 from the input to the output, weights included."""

    def edit(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16

    return _edited(content, edit)


def fixed_rows(rows: int) -> Variant:
    """Exactly so many rows, which the exporter wrote into a Reshape as well."""

    def variant(content: bytes) -> bytes:
        def edit(model: onnx.ModelProto) -> None:
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].dim_value = rows
            model.graph.initializer.append(numpy_helper.from_array(np.array([rows, 8], np.int64), "sizes"))
            flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
            flatten.CopyFrom(helper.make_node("Reshape", ["pool", "sizes"], ["flat"]))

        return _edited(content, edit)

    return variant


def several_outputs(content: bytes) -> bytes:
    """Feature maps first, then the logits, then the winner as int64."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["winner"], axis=1, keepdims=0))
        model.graph.output.insert(0, helper.make_tensor_value_info("relu2", TensorProto.FLOAT, ["n", 8, 8, 8]))
        model.graph.output.append(helper.make_tensor_value_info("winner", TensorProto.INT64, ["n"]))

    return _edited(content, edit)


def open_size(content: bytes) -> bytes:
    """Height and width open."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "h", "w"]))

    return _edited(content, edit)


def softmax_inside(content: bytes) -> bytes:
    """Probabilities, behind a Reshape that hides the Softmax from who looks at the last node only."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 4], np.int64), "sizes"))
        model.graph.node.append(helper.make_node("Softmax", ["logits"], ["soft"], axis=1))
        model.graph.node.append(helper.make_node("Reshape", ["soft", "sizes"], ["probabilities"]))
        model.graph.output[0].name = "probabilities"

    return _edited(content, edit)


VARIANTS: dict[str, Variant] = {
    "channels last": channels_last,
    "uint8": whole_numbers,
    "uint8 channels last": whole_numbers_channels_last,
    "float16": half_precision,
    "one row": fixed_rows(1),
    "three rows": fixed_rows(3),
    "several outputs": several_outputs,
    "open size": open_size,
    "softmax inside": softmax_inside,
}
