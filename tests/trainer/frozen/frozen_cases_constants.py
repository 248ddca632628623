"""Rows for constants, types, and tensors made from sizes and numbers."""

from typing import Any

import numpy as np
from frozen_case import Case, X, ints, normal, scalar
from onnx import TensorProto, numpy_helper

MATRIX = (3, 4)
CUBE = (2, 3, 4)
WITH_VALUES = (12, 13, 19, 21, 23, 24, 25)

CONSTANTS = [
    Case(
        "Constant",
        "tensor",
        MATRIX,
        (),
        {"value": numpy_helper.from_array(normal(2, 3), "value")},
        smooth=False,
    ),
    Case("Constant", "float", MATRIX, (), {"value_float": 1.5}, WITH_VALUES, smooth=False),
    Case("Constant", "floats", MATRIX, (), {"value_floats": [1.5, 2.0]}, WITH_VALUES, smooth=False),
    Case("Constant", "int", MATRIX, (), {"value_int": 3}, WITH_VALUES, smooth=False),
    Case("Constant", "ints", MATRIX, (), {"value_ints": [3, 4]}, WITH_VALUES, smooth=False),
    *(
        Case("Cast", f"to-{kind.lower()}", MATRIX, attributes={"to": getattr(TensorProto, kind)}, smooth=False)
        for kind in ("INT64", "INT32", "BOOL", "FLOAT16", "FLOAT")
    ),
    Case("Cast", "to-double", MATRIX, attributes={"to": TensorProto.DOUBLE}),
    Case("CastLike", "integer", MATRIX, (X, np.array(3)), smooth=False),
    Case("CastLike", "double", MATRIX, (X, np.array(3.0))),
    Case("Identity", "cube", CUBE),
    *(
        Case("CastLike", f"like-{kind}", MATRIX, (X, np.zeros(1, kind)), smooth=False)
        for kind in ("bool", "int32", "float16")
    ),
    Case("Size", "cube", CUBE, smooth=False),
    Case("Dropout", "plain", CUBE, versions=(7, 10)),
    Case("Dropout", "ratio", CUBE, attributes={"ratio": 0.9}, versions=(7, 10)),
    Case("Dropout", "mask", CUBE, outputs=2),
    Case("Dropout", "default", CUBE, versions=(12, 13, 22)),
    Case("Dropout", "inference", CUBE, (X, scalar(0.9), np.array(False)), versions=(12, 13, 22)),
]


def _filling(value: Any, kind: str) -> dict[str, Any]:
    return {"value": numpy_helper.from_array(np.array([value], kind), "value")}


RANGES: dict[str, tuple[np.ndarray, ...]] = {
    "integers": (np.array(2), np.array(11), np.array(3)),
    "downwards": (np.array(5), np.array(-2), np.array(-2)),
    "none": (np.array(5), np.array(2), np.array(1)),
    "fractions": (scalar(0.5), scalar(2.1), scalar(0.5)),
}
OFF_ON = np.array([-1.0, 2.0], np.float32)

CREATIONS = [
    Case("ConstantOfShape", "zeros", MATRIX, (ints(2, 3),), smooth=False),
    Case("ConstantOfShape", "scalar", MATRIX, (ints(),), smooth=False),
    *(
        Case("ConstantOfShape", f"filled-{kind}", MATRIX, (ints(2, 1),), _filling(1, kind), smooth=False)
        for kind in ("float32", "int64", "bool")
    ),
    *(Case("Range", name, MATRIX, inputs, smooth=False) for name, inputs in RANGES.items()),
    Case("EyeLike", "type-of-the-input", MATRIX, smooth=False),
    Case("EyeLike", "above", MATRIX, attributes={"k": 1, "dtype": TensorProto.INT64}, smooth=False),
    Case("EyeLike", "below", MATRIX, attributes={"k": -1, "dtype": TensorProto.DOUBLE}, smooth=False),
    Case("OneHot", "last-axis", MATRIX, (ints(2, 0, 1), np.array(3), OFF_ON), smooth=False),
    Case("OneHot", "first-axis", MATRIX, (ints(2, 0, 1, 2).reshape(2, 2), ints(3), OFF_ON), {"axis": 0}, smooth=False),
    Case(
        "OneHot", "axis-from-end", MATRIX, (ints(2, 0, 1, 2).reshape(2, 2), ints(3), OFF_ON), {"axis": -2}, smooth=False
    ),
    Case("OneHot", "beyond-depth", MATRIX, (ints(-1, 3, -3, -4), np.array(3), OFF_ON), smooth=False),
    Case("OneHot", "values-are-the-input", (2,), (ints(2, 0, 1), np.array(4), X)),
]

CASES = [*CONSTANTS, *CREATIONS]
