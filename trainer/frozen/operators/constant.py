"""Constants, types and sizes: the same values in another type, and what a tensor says about itself."""

from functools import partial

import numpy as np
import onnx
import torch
from torch import Tensor

from trainer.frozen.node import Attribute, Node
from trainer.frozen.operators import Kernel, operator, plain

_TYPES = {
    int(onnx.TensorProto.FLOAT): torch.float32,
    int(onnx.TensorProto.FLOAT16): torch.float16,
    int(onnx.TensorProto.DOUBLE): torch.float64,
    int(onnx.TensorProto.INT8): torch.int8,
    int(onnx.TensorProto.INT16): torch.int16,
    int(onnx.TensorProto.INT32): torch.int32,
    int(onnx.TensorProto.INT64): torch.int64,
    int(onnx.TensorProto.UINT8): torch.uint8,
    int(onnx.TensorProto.UINT16): torch.uint16,
    int(onnx.TensorProto.UINT32): torch.uint32,
    int(onnx.TensorProto.UINT64): torch.uint64,
    int(onnx.TensorProto.BOOL): torch.bool,
}

_CONSTANT_TYPES = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def torch_type(node: Node, attribute: str) -> torch.dtype | None:
    """The type that an integer attribute names, None if the node leaves it out. Raises UnsupportedOperator."""
    if attribute not in node.attributes:
        return None
    number = node.integer(attribute, 0)
    if number not in _TYPES:
        allowed = [onnx.TensorProto.DataType.Name(kind) for kind in _TYPES]
        raise node.refusal(f"casts to data type {number}, allowed {allowed}; export the model in float32")
    return _TYPES[number]


def converted(x: Tensor, kind: torch.dtype) -> Tensor:
    """The same values in another type; integers go to the CPU."""
    return x.to(kind) if kind.is_floating_point or kind == torch.bool else x.to("cpu", kind)


@operator("Constant", versions=(1, 9, 11, 12, 13, 19, 21, 23, 24, 25))
def constant(node: Node) -> Kernel:
    """The tensor in the node's only attribute."""
    kinds: list[tuple[str, Attribute]] = list(node.attributes.items())
    if len(kinds) != 1 or kinds[0][0] not in _CONSTANT_TYPES:
        raise node.refusal(f"attributes {sorted(node.attributes)}, allowed one of {sorted(_CONSTANT_TYPES)}")
    name, value = kinds[0]
    tensor = torch.from_numpy(np.array(value, dtype=_CONSTANT_TYPES[name]))
    return lambda: tensor


@operator("Cast", versions=(6, 9, 13, 19, 21, 23, 24, 25))
def cast(node: Node) -> Kernel:
    """The same values in another type; a fraction is cut off on the way to an integer."""
    kind = torch_type(node, "to")
    if kind is None:
        raise node.refusal("attribute 'to' is missing; the file is damaged, export it again")
    return partial(converted, kind=kind)


operator("CastLike", versions=(15, 19, 21, 23, 24, 25))(plain(lambda x, like: converted(x, like.dtype)))
operator("Identity", versions=(1, 13, 14, 16, 19, 21, 23, 24, 25))(plain(lambda x: x))


@operator("Dropout", versions=(7,), outputs=2)
@plain
def dropout_with_numbers(x: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing happens in inference; the mask is what onnxruntime gives, zeros."""
    return x, torch.zeros_like(x)


@operator("Dropout", versions=(10,), outputs=2)
@plain
def dropout_with_truths(x: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing happens in inference; the mask is what onnxruntime gives, false."""
    return x, torch.zeros_like(x, dtype=torch.bool)


@operator("Dropout", versions=(12, 13, 22), outputs=2)
def dropout(node: Node) -> Kernel:
    """Nothing happens in inference, the mask is true; refuses a training mode that is on."""

    def apply(x: Tensor, _ratio: Tensor | None = None, training: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if training is not None and bool(training):
            raise node.refusal("training_mode is true, allowed false; export the model in inference mode")
        return x, torch.ones_like(x, dtype=torch.bool)

    return apply


@operator("Shape", versions=(1, 13))
@plain
def shape(x: Tensor) -> Tensor:
    """The sizes of all axes, int64, on the CPU."""
    return torch.tensor(x.shape, dtype=torch.int64)


@operator("Shape", versions=(15, 19, 21, 23, 24, 25))
def shape_between(node: Node) -> Kernel:
    """The sizes of the axes from `start` up to `end`, int64, on the CPU."""
    start, end = node.integer("start", 0), node.attributes.get("end")
    axes = slice(start, None if end is None else node.integer("end", 0))
    return lambda x: torch.tensor(x.shape[axes], dtype=torch.int64)


@operator("Size", versions=(1, 13, 19, 21, 23, 24, 25))
@plain
def size(x: Tensor) -> Tensor:
    """The number of elements, int64, on the CPU."""
    return torch.tensor(x.numel())
