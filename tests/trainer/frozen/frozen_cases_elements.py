"""Rows for activations, arithmetic, constants and reductions."""

import numpy as np
from frozen_case import LEFT_OUT, Case, X, ints, normal
from onnx import TensorProto, numpy_helper

MATRIX = (3, 4)
CUBE = (2, 3, 4)


def scalar(value: float) -> np.ndarray:
    """A float32 tensor of rank 0."""
    return np.array(value, dtype=np.float32)


ACTIVATIONS = [
    *(Case(name, "cube", CUBE) for name in ("Relu", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Neg", "Exp")),
    Case("HardSwish", "both-knees", CUBE, bounds=(-5.0, 5.0)),
    Case("HardSigmoid", "slope-shift", CUBE, attributes={"alpha": 0.7, "beta": 0.3}),
    Case("LeakyRelu", "slope", CUBE, attributes={"alpha": 0.3}),
    Case("Sqrt", "positive", CUBE, bounds=(0.2, 3.0)),
    Case("Log", "positive", CUBE, bounds=(0.2, 3.0)),
    Case("Clip", "attributes", CUBE, attributes={"min": -0.5, "max": 1.0}, versions=(6,)),
    Case("Clip", "attribute-above", CUBE, attributes={"max": 1.0}, versions=(6,)),
    Case("Clip", "inputs", CUBE, (X, scalar(-0.5), scalar(1.0)), versions=(11, 12, 13)),
    Case("Clip", "input-above", CUBE, (X, LEFT_OUT, scalar(1.0)), versions=(11, 12, 13)),
    Case("Clip", "input-below", CUBE, (X, scalar(0.0)), versions=(11, 12, 13)),
    Case("Clip", "unbounded", CUBE, versions=(11, 12, 13)),
    *(
        Case(name, f"axis-{axis}", (2, 3, 4), attributes={"axis": axis})
        for name in ("Softmax", "LogSoftmax")
        for axis in (0, 1, 2)
    ),
    Case("Softmax", "default", CUBE),
    Case("LogSoftmax", "default", CUBE),
    Case("Softmax", "axis-from-end", CUBE, attributes={"axis": -2}, versions=(11, 13)),
]

ARITHMETIC = [
    *(Case(name, "same-shape", CUBE, (X, normal(*CUBE) + 3.0)) for name in ("Add", "Sub", "Mul", "Div")),
    *(Case(name, "broadcast", CUBE, (normal(3, 1), X)) for name in ("Add", "Sub", "Mul")),
    Case("Div", "broadcast", CUBE, (normal(3, 1), X), bounds=(0.5, 2.0)),
    *(Case(name, "with-itself", CUBE, (X, X)) for name in ("Add", "Sub", "Mul")),
    Case("Pow", "square", CUBE, (X, scalar(2.0))),
    Case("Pow", "fraction", CUBE, (X, normal(4)), bounds=(0.5, 2.0)),
    Case("Pow", "integer-exponent", CUBE, (X, ints(3)), versions=(12, 13, 15)),
    Case("Pow", "exponent-is-the-input", CUBE, (np.abs(normal(4)) + 0.5, X)),
]

CONSTANTS = [
    Case(
        "Constant",
        "tensor",
        MATRIX,
        (),
        {"value": numpy_helper.from_array(normal(2, 3), "value")},
        smooth=False,
    ),
    Case("Constant", "float", MATRIX, (), {"value_float": 1.5}, (12, 13, 19, 21, 23, 24, 25), smooth=False),
    Case("Constant", "floats", MATRIX, (), {"value_floats": [1.5, 2.0]}, (12, 13, 19, 21, 23, 24, 25), smooth=False),
    Case("Constant", "int", MATRIX, (), {"value_int": 3}, (12, 13, 19, 21, 23, 24, 25), smooth=False),
    Case("Constant", "ints", MATRIX, (), {"value_ints": [3, 4]}, (12, 13, 19, 21, 23, 24, 25), smooth=False),
    *(
        Case("Cast", f"to-{kind.lower()}", MATRIX, attributes={"to": getattr(TensorProto, kind)}, smooth=False)
        for kind in ("INT64", "INT32", "BOOL", "FLOAT16", "FLOAT")
    ),
    Case("Cast", "to-double", MATRIX, attributes={"to": TensorProto.DOUBLE}),
    Case("CastLike", "integer", MATRIX, (X, np.array(3)), smooth=False),
    Case("CastLike", "double", MATRIX, (X, np.array(3.0))),
    Case("Identity", "cube", CUBE),
    Case("Dropout", "plain", CUBE, versions=(7, 10)),
    Case("Dropout", "ratio", CUBE, attributes={"ratio": 0.9}, versions=(7, 10)),
    Case("Dropout", "default", CUBE, versions=(12, 13, 22)),
    Case("Dropout", "inference", CUBE, (X, scalar(0.9), np.array(False)), versions=(12, 13, 22)),
]

SEVENS, TWOS = ints(-7, 7, -7, 7), ints(2, -2, -2, 2)
INTEGERS = [
    *(Case(name, "integers", MATRIX, (SEVENS, TWOS), smooth=False) for name in ("Add", "Sub", "Mul", "Div")),
    Case("Pow", "integer-base", MATRIX, (ints(2, 3), scalar(1.5)), versions=(12, 13, 15), smooth=False),
    Case("ReduceSum", "small-integers", MATRIX, (SEVENS.astype(np.int32),), smooth=False),
]

REDUCERS = {"ReduceMean": 18, "ReduceSum": 13, "ReduceMax": 18}
"""The since-version from which the axes are an input."""


def _reductions(name: str) -> list[Case]:
    first = REDUCERS[name]
    table = Case(name, "", CUBE).at_versions()
    old, new = (tuple(v for v in table if v < first), tuple(v for v in table if v >= first))
    return [
        Case(name, "attribute", CUBE, attributes={"axes": [0, 2], "keepdims": 0}, versions=old),
        Case(name, "attribute-kept", CUBE, attributes={"axes": [1]}, versions=old),
        Case(name, "attribute-from-end", CUBE, attributes={"axes": [-1]}, versions=tuple(v for v in old if v >= 11)),
        Case(name, "all", CUBE, attributes={"keepdims": 0}),
        Case(name, "input", CUBE, (X, ints(-1, 0)), {"keepdims": 0}, versions=new),
        Case(name, "input-kept", CUBE, (X, ints(1)), versions=new),
        Case(name, "empty-axes", CUBE, (X, ints()), versions=new),
        Case(name, "empty-axes-idle", CUBE, (X, ints()), {"noop_with_empty_axes": 1}, versions=new),
    ]


REDUCTIONS = [case for name in REDUCERS for case in _reductions(name)]

CASES = [*ACTIVATIONS, *ARITHMETIC, *CONSTANTS, *INTEGERS, *REDUCTIONS]
