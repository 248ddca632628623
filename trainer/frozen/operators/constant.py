"""Constants, types and shapes: what makes a tensor from something else than arithmetic."""

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
    int(onnx.TensorProto.BOOL): torch.bool,
}

_CONSTANT_TYPES = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


@operator("Constant", versions=(9, 11, 12, 13, 19, 21, 23, 24, 25))
def constant(node: Node) -> Kernel:
    """The tensor in the node's only attribute."""
    kinds: list[tuple[str, Attribute]] = list(node.attributes.items())
    if len(kinds) != 1 or kinds[0][0] not in _CONSTANT_TYPES:
        raise node.refusal(f"attributes {sorted(node.attributes)}, allowed one of {sorted(_CONSTANT_TYPES)}")
    name, value = kinds[0]
    tensor = torch.from_numpy(np.array(value, dtype=_CONSTANT_TYPES[name]))
    return lambda: tensor


@operator("Cast", versions=(9, 13, 19, 21, 23, 24, 25))
def cast(node: Node) -> Kernel:
    """The same values in another type; a fraction is cut off on the way to an integer."""
    number = node.integer("to", 0)
    if number not in _TYPES:
        allowed = [onnx.TensorProto.DataType.Name(kind) for kind in _TYPES]
        raise node.refusal(f"casts to data type {number}, allowed {allowed}; export the model in float32")
    kind = _TYPES[number]
    if kind.is_floating_point or kind == torch.bool:
        return lambda x: x.to(kind)
    return lambda x: x.to("cpu", kind)


operator("CastLike", versions=(15, 19, 21, 23, 24, 25))(plain(lambda x, like: x.to(like.dtype)))
operator("Identity", versions=(1, 13, 14, 16, 19, 21, 23, 24, 25))(plain(lambda x: x))


operator("Dropout", versions=(7, 10))(plain(lambda x: x))


@operator("Dropout", versions=(12, 13, 22))
def dropout(node: Node) -> Kernel:
    """Nothing happens in inference; refuses a training mode that is on."""

    def apply(x: Tensor, _ratio: Tensor | None = None, training: Tensor | None = None) -> Tensor:
        if training is not None and bool(training):
            raise node.refusal("training_mode is true, allowed false; export the model in inference mode")
        return x

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
