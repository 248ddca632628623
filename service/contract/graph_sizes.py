"""How large the tensors of a graph are: what is stored against what is declared, and what the graph says it will make.

A file of a hundred bytes can declare, or ask for, a terabyte. Judged here with Python's integers, which do not
overflow, and only where constants in the file tell; the rest shows itself in the trial (`service/engine/trial.py`).
"""

import math
from collections import ChainMap
from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from service.contract.errors import DamagedTensor, GraphTooLarge, UnreadableGraph
from service.contract.graph_walk import Body, describe_node, inner_bodies

T = onnx.TensorProto

BITS: Mapping[int, int] = {
    **dict.fromkeys((T.UINT2, T.INT2), 2),
    **dict.fromkeys((T.UINT4, T.INT4, T.FLOAT4E2M1), 4),
    **dict.fromkeys((T.UINT8, T.INT8, T.BOOL, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ), 8),
    **dict.fromkeys((T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ, T.FLOAT8E8M0), 8),
    **dict.fromkeys((T.UINT16, T.INT16, T.FLOAT16, T.BFLOAT16), 16),
    **dict.fromkeys((T.FLOAT, T.INT32, T.UINT32), 32),
    **dict.fromkeys((T.DOUBLE, T.INT64, T.UINT64, T.COMPLEX64), 64),
    T.COMPLEX128: 128,
}
"""Width of one element; text has none."""

FIELDS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data")
ENTRIES: Mapping[int, tuple[str, int]] = {
    T.FLOAT: ("float_data", 1),
    T.COMPLEX64: ("float_data", 2),
    T.DOUBLE: ("double_data", 1),
    T.COMPLEX128: ("double_data", 2),
    T.INT64: ("int64_data", 1),
    T.UINT64: ("uint64_data", 1),
    T.UINT32: ("uint64_data", 1),
    T.STRING: ("string_data", 1),
}
"""Field and entries per element where data is not raw; all other types are in `int32_data`, below a byte packed."""

SMALL = 64
"""Constants of at most that many elements are read: shapes, not weights."""

Values = NDArray[np.generic]
Constants = Mapping[str, onnx.TensorProto]


def check_shape(dims: tuple[int, ...], bits: int, what: str, cap_bytes: int) -> int:
    """The number of elements of a shape.

    Raises:
        DamagedTensor: a dimension is negative.
        GraphTooLarge: the tensor would have more than `cap_bytes`.
    """
    if min(dims, default=0) < 0:
        raise DamagedTensor(f"{what} has shape {list(dims)[:8]}; no dimension can be negative; export the model again")
    elements = math.prod(dims)
    if elements * bits > cap_bytes * 8:
        raise GraphTooLarge(
            f"{what} has shape {list(dims)[:8]}, {elements * bits // 8:.3g} bytes; at most {cap_bytes} are allowed"
        )
    return elements


def check_stored(tensor: onnx.TensorProto, where: str, cap_bytes: int) -> None:
    """Compare a stored tensor with its own shape and type.

    Raises:
        DamagedTensor: its type is none, its data lies in two places, or its data does not fill its shape exactly.
        GraphTooLarge: the shape needs more than `cap_bytes`.
    """
    what = f"tensor '{tensor.name[:80]}' in {where}"
    kind = tensor.data_type
    if kind not in BITS and kind != T.STRING:
        raise DamagedTensor(
            f"{what} has data type {kind}, which is none that this release knows; export the model again"
        )
    elements = check_shape(tuple(tensor.dims), BITS.get(kind, 8), what, cap_bytes)
    field, per_element = ENTRIES.get(kind, ("int32_data", 1))
    needed = elements * per_element
    if BITS.get(kind, 8) < 8:
        needed = math.ceil(elements * BITS[kind] / 8)
    if tensor.HasField("raw_data") and kind != T.STRING:
        field, needed = "raw_data", math.ceil(elements * BITS[kind] / 8)
    stored = {name: len(getattr(tensor, name)) for name in FIELDS}
    if stored.pop(field) != needed or any(stored.values()):
        raise DamagedTensor(
            f"{what} declares shape {list(tensor.dims)[:8]}, which takes {needed} entries of {field}; the file stores "
            f"{len(getattr(tensor, field))}, and {sum(stored.values())} elsewhere; export the model again"
        )


def check_made(root: Body, cap_bytes: int) -> None:
    """Look at the nodes that make a tensor as large as constants in the file tell them, sub-graphs included.

    Raises:
        GraphTooLarge: such a tensor has more than `cap_bytes`.
        DamagedTensor: its shape is negative.
        UnreadableGraph: a node that makes something of inputs has none.
    """
    waiting: list[tuple[Body, ChainMap[str, onnx.TensorProto]]] = [(root, ChainMap())]
    while waiting:
        body, outer = waiting.pop()
        known = outer.new_child(_constants(body))
        for node in body.proto.node:
            made = MADE.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if made is None:
                continue
            if not node.input and made is not _drawn:
                raise UnreadableGraph(f"{describe_node(node)} in {body.where} has no inputs; export the model again")
            dims = made(node, known)
            if dims is not None:
                check_shape(dims, _bits_made(node, known), f"what {describe_node(node)} makes", cap_bytes)
        waiting += [(inner, known) for inner in inner_bodies(body)]


def _bits_made(node: onnx.NodeProto, known: Constants) -> int:
    """Width of one element of what a node makes; a byte where the file does not tell it."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "ConstantOfShape":
        kind = attributes["value"].t.data_type if "value" in attributes else T.FLOAT
    elif MADE[node.op_type] is _drawn:
        kind = attributes["dtype"].i if "dtype" in attributes else T.FLOAT
    else:
        # All others keep the type of their first input.
        kind = known[node.input[0]].data_type if node.input[0] in known else T.UINT8
    return BITS.get(kind, 8)


def _constants(body: Body) -> dict[str, onnx.TensorProto]:
    """Stored tensors by the name under which nodes read them."""
    found = {tensor.name: tensor for tensor in getattr(body.proto, "initializer", ())}
    for node in body.proto.node:
        if node.op_type == "Constant" and node.output:
            values = [tensor for tensor in map(_constant, node.attribute) if tensor is not None]
            found |= dict(zip(node.output, values, strict=False))
    return found


def _constant(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    if attribute.name == "value":
        return attribute.t
    if attribute.name in ("value_int", "value_ints"):
        values = list(attribute.ints) if attribute.name == "value_ints" else [attribute.i]
        return numpy_helper.from_array(np.array(values, np.int64))
    return None


def _values(node: onnx.NodeProto, index: int, known: Constants) -> Values | None:
    """The node's input of that index, if it is a small constant."""
    tensor = known.get(node.input[index]) if index < len(node.input) else None
    if tensor is None or math.prod(tensor.dims) > SMALL or tensor.data_type == T.STRING:
        return None
    return np.asarray(numpy_helper.to_array(tensor)).ravel()


def _shape_of(node: onnx.NodeProto, index: int, known: Constants) -> tuple[int, ...] | None:
    values = _values(node, index, known)
    return None if values is None or values.dtype.kind not in "iu" else tuple(int(value) for value in values)


def _filled(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    return _shape_of(node, 0, known)


def _expanded(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    shape = _shape_of(node, 1, known)
    # -1 is not in the standard, but exporters write it for "as it is".
    return None if shape is None else tuple(max(1, side) for side in shape)


def _tiled(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    repeats = _shape_of(node, 1, known)
    tensor = known.get(node.input[0])
    return None if repeats is None else (*repeats, *(tensor.dims if tensor is not None else ()))


def _ranged(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    ends = [_values(node, index, known) for index in range(3)]
    start, limit, delta = (float(end[0]) if end is not None and end.size == 1 else math.nan for end in ends)
    steps = (limit - start) / delta if delta else math.nan
    return (max(0, math.ceil(steps)),) if math.isfinite(steps) else None


def _padded(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    pads = _shape_of(node, 1, known)
    if pads is None:
        pads = next((tuple(a.ints) for a in node.attribute if a.name in ("pads", "paddings")), ())
    half = len(pads) // 2
    # An axis that is cut is at least empty, one that grows has at least what is added.
    return tuple(max(1, a + b) for a, b in zip(pads[:half], pads[half:], strict=False))


def _resized(node: onnx.NodeProto, known: Constants) -> tuple[int, ...] | None:
    sizes = _shape_of(node, 3, known)
    if sizes:
        return tuple(max(1, side) for side in sizes)
    scales = _values(node, 1 if len(node.input) == 2 else 2, known)
    if scales is None or scales.dtype.kind != "f" or not np.isfinite(scales).all():
        return None
    return tuple(max(1, int(scale)) for scale in scales)


def _drawn(node: onnx.NodeProto, _known: Constants) -> tuple[int, ...] | None:
    return next((tuple(attribute.ints) for attribute in node.attribute if attribute.name == "shape"), None)


MADE: Mapping[str, Callable[[onnx.NodeProto, Constants], tuple[int, ...] | None]] = {
    "ConstantOfShape": _filled,
    "Expand": _expanded,
    "Pad": _padded,
    "RandomNormal": _drawn,
    "RandomUniform": _drawn,
    "Range": _ranged,
    "Resize": _resized,
    "Tile": _tiled,
    "Upsample": _resized,
}
"""The least shape that a node makes, or None where the file does not tell."""
